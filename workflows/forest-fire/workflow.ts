import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  copyFile,
  csv,
  display,
  explore,
  file,
  functionTask,
  input,
  integer,
  number,
  output,
  range,
  replicate,
  type ContextOf,
} from 'molehill'
import { burnForest, median } from './model.ts'
import { drawBurned } from './plot.ts'

// How dense may a forest be before a fire at its edge runs through all of it? We burn many random forests of each
// density. There is a threshold: the share of trees that burn jumps near a density of 0.5927.

// What may be given at the start. The time grows with the square of the size.
const size = integer('size', { default: 200 })
const forestsPerDensity = integer('forestsPerDensity', { default: 101 })
const lowestDensity = number('lowestDensity', { default: 0.5 })
const highestDensity = number('highestDensity', { default: 0.7 })
const densityStep = number('densityStep', { default: 0.01 })

const density = number('density')
const seed = integer('seed')
const burned = number('burned')
const medianBurned = number('medianBurned')
const plot = file('plot')

const burn = functionTask('burn', {
  inputs: [size, density, seed],
  outputs: [burned],
  run: ({ size, density, seed }) => ({ burned: burnForest(size, density, seed) }),
}).hook(csv('burned.csv', { values: [density, seed, burned] }))

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
  inputs: [size, density.array, burned.array.array, medianBurned.array],
  outputs: [plot],
  async run({ size, density, burned, medianBurned }, job) {
    const plot = join(job.directory, 'burned.svg')
    await writeFile(plot, drawBurned({ densities: density, burned, medians: medianBurned, size }))
    return { plot }
  },
}).hook(
  copyFile(plot, 'burned.svg'),
  display(({ density, medianBurned }: { density: number[]; medianBurned: number[] }) => {
    const first = medianBurned.findIndex((share) => share > 0.5)
    if (first < 0) return 'At none of these densities more than half of the trees burn.'
    return `From a density of ${density[first]?.toFixed(2)} on, more than half of the trees burn. Percolation threshold: 0.5927.`
  }),
)

// For each density the same seeds: neighbouring densities differ by some trees, not by luck.
const forests = explore(replicate(seed, forestsPerDensity, { seed: 1 }), burn).aggregate(summarise)

const densities = range(density, { from: lowestDensity, to: highestDensity, step: densityStep })

export default explore(densities, forests)
  .aggregate(draw)
  .describe({
    title: 'Forest fire',
    description:
      'Burns random forests of several densities and finds where a fire runs through all of the forest.',
    category: 'complex systems',
    inputs: [
      input(size, { title: 'Length of a side, in cells', minimum: 2, maximum: 2000 }),
      input(forestsPerDensity, { title: 'Forests of each density', minimum: 1, maximum: 100_000 }),
      input(lowestDensity, { title: 'Lowest density of trees', minimum: 0, maximum: 1 }),
      input(highestDensity, { title: 'Highest density of trees', minimum: 0, maximum: 1 }),
      input(densityStep, {
        title: 'From one density to the next',
        minimum: 0.0001,
        maximum: 1,
        advanced: true,
      }),
    ],
    outputs: [
      output('medians.csv', { title: 'Median share of burnt trees, by density', role: 'table' }),
      output('burned.csv', { title: 'Share of burnt trees, forest by forest', role: 'details' }),
      output('burned.svg', { title: 'All forests and the medians', role: 'preview' }),
    ],
  })
