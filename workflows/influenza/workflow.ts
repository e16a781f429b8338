import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  between,
  copyFile,
  csv,
  display,
  file,
  functionTask,
  integer,
  jsonLines,
  lhs,
  number,
  string,
  type ContextOf,
} from 'molehill'
import { parseRecord, rootMeanSquareError, simulate } from './model.ts'
import { drawFit } from './plot.ts'

// How infectious was the influenza in an English boarding school in January 1978? We look for the rates of an SIR
// model that come closest to the record: at first everywhere, then where the best samples of the first round lie.

const samplesPerRound = 2000
const kept = 20

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
  inputs: [round, beta, gamma, confined.array],
  outputs: [r0, error],
  run: ({ beta, gamma, confined }) => ({
    r0: beta / gamma,
    error: rootMeanSquareError(simulate({ beta, gamma }, confined.length), confined),
  }),
}).hook(csv('fits.csv', { values: [round, ...fit] }))

const narrow = functionTask('narrow', {
  inputs: [beta.array, gamma.array, error.array],
  outputs: [round, ...bounds],
  run({ beta, gamma, error }) {
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
  display(({ betaLow, betaHigh, gammaLow, gammaHigh }: ContextOf<typeof bounds>) => {
    const betas = `beta ${betaLow.toFixed(2)} to ${betaHigh.toFixed(2)}`
    return `The best ${kept} of ${samplesPerRound} samples: ${betas}, gamma ${gammaLow.toFixed(2)} to ${gammaHigh.toFixed(2)}.`
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

const everywhere = lhs([between(beta, 0.5, 4), between(gamma, 0.1, 1)], {
  samples: samplesPerRound,
  seed: 1978,
})
const aroundTheBest = lhs([between(beta, betaLow, betaHigh), between(gamma, gammaLow, gammaHigh)], {
  samples: samplesPerRound,
  seed: 763,
})

export default readRecord
  .explore(everywhere, evaluate)
  .aggregate(narrow)
  .explore(aroundTheBest, evaluate.named('refine'))
  .aggregate(choose)
  .next(draw)
