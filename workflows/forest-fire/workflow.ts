import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  copyFile,
  csv,
  display,
  explore,
  file,
  functionTask,
  integer,
  number,
  range,
  replicate,
  type ContextOf,
} from 'molehill'
import { burnForest, median } from './model.ts'
import { drawBurned } from './plot.ts'

// How dense may a forest be before a fire at its edge runs through all of it? We burn many random forests of each
// density. There is a threshold: the share of trees that burn jumps near a density of 0.5927.

// Make these larger for a longer run; the time grows with the square of the size.
const size = 200
const forestsPerDensity = 101
const densities = { from: 0.5, to: 0.7, step: 0.01 }

const density = number('density')
const seed = integer('seed')
const burned = number('burned')
const medianBurned = number('medianBurned')
const plot = file('plot')

const burn = functionTask('burn', {
  inputs: [density, seed],
  outputs: [burned],
  run: ({ density, seed }) => ({ burned: burnForest(size, density, seed) }),
}).hook(csv('burned.csv'))

const summary = [density, medianBurned] as const
const summarise = functionTask('summarise', {
  inputs: [density, burned.array],
  outputs: [medianBurned],
  run: ({ burned }) => ({ medianBurned: median(burned) }),
}).hook(
  csv('medians.csv', { values: summary }),
  display(({ density, medianBurned }: ContextOf<typeof summary>) => {
    const bar = '#'.repeat(Math.round(50 * medianBurned))
    return `density ${density.toFixed(2)}  ${(100 * medianBurned).toFixed(1).padStart(5)} % burnt  ${bar}`
  }),
)

const draw = functionTask('draw', {
  inputs: [density.array, burned.array.array, medianBurned.array],
  outputs: [plot],
  async run({ density, burned, medianBurned }, job) {
    const plot = join(job.directory, 'burned.svg')
    await writeFile(plot, drawBurned({ densities: density, burned, medians: medianBurned, size }))
    return { plot }
  },
}).hook(
  copyFile(plot, 'burned.svg'),
  display(({ density, medianBurned }: { density: number[]; medianBurned: number[] }) => {
    const first = medianBurned.findIndex((share) => share > 0.5)
    return `From a density of ${density[first]?.toFixed(2)} on, more than half of the trees burn. Percolation threshold: 0.5927.`
  }),
)

// For each density the same seeds: neighbouring densities differ by some trees, not by luck.
const forests = explore(replicate(seed, forestsPerDensity, { seed: 1 }), burn).aggregate(summarise)

export default explore(range(density, densities), forests).aggregate(draw)
