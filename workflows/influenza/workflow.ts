import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  between,
  copyFile,
  csv,
  display,
  file,
  functionTask,
  input,
  integer,
  jsonLines,
  lhs,
  number,
  output,
  string,
  type ContextOf,
} from 'molehill'
import { distances, parseRecord, simulate, type Distance } from './model.ts'
import { drawFit } from './plot.ts'

// How infectious was the influenza in an English boarding school in January 1978? We look for the rates of an SIR
// model that come closest to the record: at first everywhere, then where the best samples of the first round lie.

// What may be given at the start.
const samples = integer('samples', { default: 2000 })
const kept = integer('kept', { default: 20 })
const lowestBeta = number('lowestBeta', { default: 0.5 })
const highestBeta = number('highestBeta', { default: 4 })
const lowestGamma = number('lowestGamma', { default: 0.1 })
const highestGamma = number('highestGamma', { default: 1 })
const distance = string('distance', { default: 'root mean square' })

// The record: boys confined to bed, day by day.
const record = file('record', { default: 'data/record.csv' })
const date = string('date')
const confined = integer('confined')

// The rates of the model, a day, and what they lead to.
const beta = number('beta')
const gamma = number('gamma')
const r0 = number('r0')
const error = number('error')
const fit = [beta, gamma, r0, error] as const

// Where the second round looks.
const round = integer('round', { default: 1 })
const betaLow = number('betaLow')
const betaHigh = number('betaHigh')
const gammaLow = number('gammaLow')
const gammaHigh = number('gammaHigh')
const bounds = [betaLow, betaHigh, gammaLow, gammaHigh] as const
const narrowing = [...bounds, kept, samples] as const

const plot = file('plot')

const readRecord = functionTask('readRecord', {
  inputs: [record],
  outputs: [date.array, confined.array],
  async run({ record }) {
    const days = parseRecord(await readFile(record, 'utf8'))
    return { date: days.map(({ date }) => date), confined: days.map(({ confined }) => confined) }
  },
}).hook(
  display(({ date, confined }: { date: string[]; confined: number[] }) => {
    return `The record has ${date.length} days from ${date[0]}; at most ${Math.max(...confined)} boys were in bed.`
  }),
)

const evaluate = functionTask('evaluate', {
  inputs: [round, beta, gamma, confined.array, distance],
  outputs: [r0, error],
  run: ({ beta, gamma, confined, distance }) => ({
    r0: beta / gamma,
    error: distances[distance as Distance](simulate({ beta, gamma }, confined.length), confined),
  }),
}).hook(csv('fits.csv', { values: [round, ...fit] }))

const narrow = functionTask('narrow', {
  inputs: [beta.array, gamma.array, error.array, samples, kept],
  outputs: [round, ...bounds],
  run({ beta, gamma, error, kept }) {
    const best = error.map((error, index) => ({ error, index })).sort((a, b) => a.error - b.error)
    const indices = best.slice(0, kept).map(({ index }) => index)
    const betas = indices.map((index) => beta[index] ?? NaN)
    const gammas = indices.map((index) => gamma[index] ?? NaN)
    return {
      round: 2,
      betaLow: Math.min(...betas),
      betaHigh: Math.max(...betas),
      gammaLow: Math.min(...gammas),
      gammaHigh: Math.max(...gammas),
    }
  },
}).hook(
  display(({ betaLow, betaHigh, gammaLow, gammaHigh, kept, samples }: ContextOf<typeof narrowing>) => {
    const betas = `beta ${betaLow.toFixed(2)} to ${betaHigh.toFixed(2)}`
    return `The best ${kept} of ${samples} samples: ${betas}, gamma ${gammaLow.toFixed(2)} to ${gammaHigh.toFixed(2)}.`
  }),
)

const choose = functionTask('choose', {
  inputs: [beta.array, gamma.array, r0.array, error.array],
  outputs: fit,
  run({ beta, gamma, r0, error }) {
    const best = error.indexOf(Math.min(...error))
    return {
      beta: beta[best] ?? NaN,
      gamma: gamma[best] ?? NaN,
      r0: r0[best] ?? NaN,
      error: error[best] ?? NaN,
    }
  },
}).hook(
  display(({ beta, gamma, r0, error }: ContextOf<typeof fit>) => {
    const rates = `beta ${beta.toFixed(3)} and gamma ${gamma.toFixed(3)} a day`
    return `Best fit: ${rates}, off by ${error.toFixed(1)} boys on average.
A boy infected ${r0.toFixed(2)} others at first, in ${(1 / gamma).toFixed(1)} days. Published: 3.65 in 2.2 days.`
  }),
  jsonLines('best.json', { values: fit }),
)

const draw = functionTask('draw', {
  inputs: [date.array, confined.array, beta, gamma],
  outputs: [plot],
  async run({ date, confined, beta, gamma }, job) {
    const plot = join(job.directory, 'fit.svg')
    await writeFile(plot, drawFit({ dates: date, confined, rates: { beta, gamma } }))
    return { plot }
  },
}).hook(copyFile(plot, 'fit.svg'))

const rates = [
  { value: lowestBeta, title: 'Lowest infections a day by one infected person' },
  { value: highestBeta, title: 'Highest infections a day by one infected person' },
  { value: lowestGamma, title: 'Lowest share that recovers a day' },
  { value: highestGamma, title: 'Highest share that recovers a day' },
]
const everywhere = lhs([between(beta, lowestBeta, highestBeta), between(gamma, lowestGamma, highestGamma)], {
  samples,
  seed: 1978,
})
const aroundTheBest = lhs([between(beta, betaLow, betaHigh), between(gamma, gammaLow, gammaHigh)], {
  samples,
  seed: 763,
})

export default readRecord
  .explore(everywhere, evaluate)
  .aggregate(narrow)
  .explore(aroundTheBest, evaluate.named('refine'))
  .aggregate(choose)
  .next(draw)
  .describe({
    title: 'Influenza',
    description:
      'Finds the rates of an SIR model of an epidemic that come closest to a record of it, in two rounds.',
    category: 'epidemiology',
    inputs: [
      input(record, {
        title: 'Record',
        description: 'Lines of a date and how many were confined to bed, below a header; of 763 people.',
        formats: ['csv'],
      }),
      input(samples, { title: 'Samples in a round', minimum: 10, maximum: 1_000_000 }),
      input(kept, { title: 'Best samples that bound the second round', minimum: 2, maximum: 1000 }),
      input(distance, {
        title: 'Distance of model and record',
        description: 'The mean absolute one gives less weight to single days.',
        values: Object.keys(distances),
      }),
      ...rates.map(({ value, title }) =>
        input(value, { title, category: 'first round', minimum: 0.001, maximum: 100 }),
      ),
    ],
    outputs: [
      output('best.json', { title: 'The best rates', role: 'result' }),
      output('fits.csv', { title: 'All samples', role: 'details' }),
      output('fit.svg', { title: 'Record and model', role: 'preview' }),
    ],
  })
