import type { Graph } from './graph.ts'

/**
 * For each step the explorations whose next sample would bring a job to it at once, innermost first: those that
 * lead to it through nothing but further explorations.
 */
export function findFeeders(graph: Graph): readonly (readonly number[])[] {
  return graph.steps.map((_, step) => feedersOf(graph, step))
}

/** For each step all steps that lead to it, however far. */
export function findUpstream(graph: Graph): readonly ReadonlySet<number>[] {
  const upstream: Set<number>[] = graph.steps.map(() => new Set())
  // Steps stand in topological order, so what leads to a step is complete when its turn comes.
  for (const [from, transitions] of graph.leaving.entries())
    for (const { to } of transitions)
      for (const step of [from, ...(upstream[from] ?? [])]) upstream[to]?.add(step)
  return upstream
}

function feedersOf(graph: Graph, step: number): number[] {
  const sources = graph.leaving.flatMap((transitions, from) =>
    transitions.some(({ to }) => to === step) && graph.steps[from]?.kind === 'explore' ? [from] : [],
  )
  return [...sources, ...sources.flatMap((source) => feedersOf(graph, source))]
}
