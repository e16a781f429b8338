/**
 * The known name that a mistyped one most likely means, or undefined when none is close: at most half of its
 * letters differ, or one begins with the other. Case and hyphens do not count.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  // A name from a file may be a megabyte long: no option comes near it.
  if (name.length > 100) return undefined
  const plain = fold(name)
  let best: { name: string; distance: number } | undefined
  for (const candidate of known) {
    const other = fold(candidate)
    const isStart = plain.length >= 3 && (other.startsWith(plain) || plain.startsWith(other))
    const distance = isStart ? 1 : editDistance(plain, other)
    const isClose = isStart || distance <= Math.max(plain.length, other.length) / 2
    if (isClose && (best === undefined || distance < best.distance)) best = { name: candidate, distance }
  }
  return best?.name
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '')
}

/** Letters to insert, delete or replace to turn `from` into `to` (Levenshtein). */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1))
    }
    previous = current
  }
  return previous[to.length] ?? 0
}
