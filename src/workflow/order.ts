/** Nodes so that each comes after all that lead to it, ties in the given order; or the nodes of one cycle. */
export function orderTopologically<Node>(
  nodes: readonly Node[],
  transitions: ReadonlyMap<Node, ReadonlySet<Node>>,
): { readonly kind: 'ordered'; readonly nodes: Node[] } | { readonly kind: 'cycle'; readonly nodes: Node[] } {
  const waitsFor = new Map<Node, number>(nodes.map((node) => [node, 0]))
  for (const targets of transitions.values())
    for (const target of targets) waitsFor.set(target, (waitsFor.get(target) ?? 0) + 1)
  const ready = nodes.filter((node) => waitsFor.get(node) === 0)
  for (const node of ready)
    for (const target of transitions.get(node) ?? []) {
      const left = (waitsFor.get(target) ?? 0) - 1
      waitsFor.set(target, left)
      if (left === 0) ready.push(target)
    }
  if (ready.length === nodes.length) return { kind: 'ordered', nodes: ready }
  const done = new Set(ready)
  return {
    kind: 'cycle',
    nodes: findCycle(
      nodes.filter((node) => !done.has(node)),
      transitions,
    ),
  }
}

function findCycle<Node>(
  remaining: readonly Node[],
  transitions: ReadonlyMap<Node, ReadonlySet<Node>>,
): Node[] {
  const left = new Set(remaining)
  const leadsTo = new Map<Node, Node>()
  for (const [from, targets] of transitions)
    if (left.has(from)) for (const target of targets) if (left.has(target)) leadsTo.set(target, from)
  // Every remaining node has a remaining predecessor, so walking back must meet one twice.
  const path: Node[] = []
  for (let node = remaining[0]; node !== undefined; node = leadsTo.get(node)) {
    const start = path.indexOf(node)
    if (start >= 0) return path.slice(start).toReversed()
    path.push(node)
  }
  return path.toReversed()
}
