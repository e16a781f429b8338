import type { Cost, Workload } from './measure.ts'

/** What each contender cost in one round, by name. */
export type Round = ReadonlyMap<string, Result>

export interface Result {
  readonly cost: Cost
  /** Of the same with a count of 1. */
  readonly start: Cost | undefined
}

interface Column {
  readonly title: string
  readonly digits: number
  readonly isRatio?: boolean
  read(result: Result): number | undefined
}

/**
 * A table with a row per contender: the median over the rounds, and the smallest and largest. A ratio is taken within
 * each round, as seconds of different rounds say little about each other on a machine that others use.
 */
export function report(workload: Workload, rounds: readonly Round[]): string {
  const columns = columnsOf(workload).filter(
    ({ isRatio }) => isRatio !== true || workload.contenders.length > 1,
  )
  const titles = columns.map(({ title, isRatio }) =>
    isRatio === true ? `${title} ÷ ${workload.yardstick}` : title,
  )
  const rows = workload.contenders.map(({ name }) => [
    name,
    ...columns.map((column) => describe(column, readAll(column, workload.yardstick, name, rounds))),
  ])
  return `${workload.title}\n${layOut([['', ...titles], ...rows])}\n`
}

function columnsOf({ unit, count, hasStart }: Workload): readonly Column[] {
  const [per, factor] = count === 1 ? ['s', 1000] : [`µs a ${unit}`, count / 1000]
  const digits = count === 1 ? 2 : 1
  const cpu = ({ cost }: Result): number => cost.cpuMs
  const net = ({ cost, start }: Result): number | undefined =>
    start === undefined ? undefined : cost.cpuMs - start.cpuMs
  const scaled = (value: number | undefined): number | undefined =>
    value === undefined ? undefined : value / factor
  const withStart: readonly Column[] = [
    { title: `without start`, digits, read: (result) => scaled(net(result)) },
    { title: 'without start', digits: 2, isRatio: true, read: net },
  ]
  return [
    { title: `CPU ${per}`, digits, read: (result) => scaled(cpu(result)) },
    { title: 'CPU', digits: 2, isRatio: true, read: cpu },
    ...(hasStart ? withStart : []),
    { title: 'wall s', digits: 2, read: ({ cost }) => cost.wallMs / 1000 },
    { title: 'wall', digits: 2, isRatio: true, read: ({ cost }) => cost.wallMs },
    {
      title: 'server MB',
      digits: 0,
      read: ({ cost }) => (cost.memoryBytes === undefined ? undefined : cost.memoryBytes / 1e6),
    },
    { title: 'cores used by others', digits: 1, read: ({ cost }) => cost.othersCores },
  ]
}

function readAll(column: Column, yardstick: string, name: string, rounds: readonly Round[]): number[] {
  return rounds.flatMap((round) => {
    const value = readOne(column, round.get(name))
    if (column.isRatio !== true || value === undefined) return value ?? []
    const beside = readOne(column, round.get(yardstick))
    return beside === undefined ? [] : value / beside
  })
}

function readOne(column: Column, result: Result | undefined): number | undefined {
  return result === undefined ? undefined : column.read(result)
}

function describe({ digits }: Column, values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const median = ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2
  const [least = 0, most = 0] = [sorted[0], sorted.at(-1)]
  if (sorted.length === 0) return '–'
  const show = (value: number): string => value.toFixed(digits)
  return show(least) === show(most) ? show(median) : `${show(median)} (${show(least)}–${show(most)})`
}

/** As Markdown, so that it can be read here and kept there. */
function layOut(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const [head = [], ...body] = rows.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    ),
  )
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [head, rule, ...body].map((row) => line(row)).join('\n')
}
