/** One line of the record: how many boys were confined to bed that day. */
export interface Day {
  readonly date: string
  readonly confined: number
}

/** Infections a day caused by one infected boy among susceptible ones, and the share that recovers a day. */
export interface Rates {
  readonly beta: number
  readonly gamma: number
}

export const boys = 763
export const stepsPerDay = 24

/** Reads `date,confined` lines; the first one is the header. */
export function parseRecord(csv: string): Day[] {
  return csv
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [date = '', confined] = line.split(',')
      return { date, confined: Number(confined) }
    })
}

/**
 * The SIR model (Kermack and McKendrick 1927): how many boys are infected, hour by hour. It begins on the day before
 * the record, day 0, with one infected boy.
 */
export function simulate({ beta, gamma }: Rates, days: number): number[] {
  const change = ([susceptible, infected]: State): State => {
    const infections = (beta * susceptible * infected) / boys
    return [-infections, infections - gamma * infected]
  }
  let state: State = [boys - 1, 1]
  const infected = [state[1]]
  for (let step = 0; step < days * stepsPerDay; step += 1) {
    state = rungeKutta(state, change, 1 / stepsPerDay)
    infected.push(state[1])
  }
  return infected
}

/** Ways to tell how far the model is from the record, in boys. */
export const distances = { 'root mean square': rootMeanSquareError, 'mean absolute': meanAbsoluteError }
export type Distance = keyof typeof distances

/** The root of the mean squared difference. */
function rootMeanSquareError(infected: readonly number[], confined: readonly number[]): number {
  const squares = confined.map((count, index) => {
    const simulated = infected[(index + 1) * stepsPerDay] ?? 0
    return (simulated - count) ** 2
  })
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length)
}

/** The mean of the differences, whatever their sign. */
function meanAbsoluteError(infected: readonly number[], confined: readonly number[]): number {
  const differences = confined.map((count, index) =>
    Math.abs((infected[(index + 1) * stepsPerDay] ?? 0) - count),
  )
  return differences.reduce((sum, difference) => sum + difference, 0) / differences.length
}

/** Susceptible and infected boys; the rest has recovered. */
type State = readonly [number, number]

/** One step of the classical Runge-Kutta method of fourth order. */
function rungeKutta([s, i]: State, change: (state: State) => State, step: number): State {
  const first = change([s, i])
  const second = change([s + (step / 2) * first[0], i + (step / 2) * first[1]])
  const third = change([s + (step / 2) * second[0], i + (step / 2) * second[1]])
  const fourth = change([s + step * third[0], i + step * third[1]])
  return [
    s + (step / 6) * (first[0] + 2 * second[0] + 2 * third[0] + fourth[0]),
    i + (step / 6) * (first[1] + 2 * second[1] + 2 * third[1] + fourth[1]),
  ]
}
