/**
 * Burns a random forest and returns the share of its trees that burnt. The forest is a square of `size` by `size`
 * cells, of which each holds a tree with the probability `density`. All trees of the left edge are set on fire, and
 * fire passes to the four neighbours of a tree. The same seed gives the same forest.
 */
export function burnForest(size: number, density: number, seed: number): number {
  const random = randomNumbers(seed)
  // A border of empty cells all around saves asking whether a neighbour exists.
  const width = size + 2
  const hasTree = new Uint8Array(width * width)
  let trees = 0
  for (let row = 1; row <= size; row += 1)
    for (let column = 1; column <= size; column += 1)
      if (random() < density) {
        hasTree[row * width + column] = 1
        trees += 1
      }

  const burning: number[] = []
  const ignite = (cell: number): void => {
    if (hasTree[cell] !== 1) return
    hasTree[cell] = 0
    burning.push(cell)
  }
  for (let row = 1; row <= size; row += 1) ignite(row * width + 1)
  let burnt = 0
  for (let cell = burning.pop(); cell !== undefined; cell = burning.pop()) {
    burnt += 1
    for (const step of [1, -1, width, -width]) ignite(cell + step)
  }
  return trees === 0 ? 0 : burnt / trees
}

/** The middle one of some numbers, or the mean of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2
}

/** Numbers from 0 to 1 that depend on nothing but the seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
