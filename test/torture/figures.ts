import { stopLimitMs } from './server.ts'

/** One line of a report, with the bounds it must keep. `least` guards against a trial in which nothing happened. */
export interface Figure {
  readonly name: string
  readonly value: number | string
  readonly least?: number
  readonly most?: number
}

/** What one kind of torture gave: its figures, and in words what went wrong. */
export interface Report {
  readonly title: string
  readonly figures: readonly Figure[]
  readonly faults: readonly string[]
}

export function isGood({ figures, faults }: Report): boolean {
  return faults.length === 0 && figures.every(isWithin)
}

/** A table for people. */
export function showReport(report: Report): string {
  const rows = report.figures.map((figure) => {
    const bounds = [
      figure.least === undefined ? '' : `at least ${figure.least}`,
      figure.most === undefined ? '' : `at most ${figure.most}`,
    ]
    return `| ${figure.name} | ${figure.value}${isWithin(figure) ? '' : ' BAD'} | ${bounds.join('')} |`
  })
  const faults = report.faults.slice(0, 20).map((fault) => `- ${fault}`)
  return [
    `## ${report.title}`,
    '',
    '| what | figure | bound |',
    '| - | - | - |',
    ...rows,
    '',
    ...faults,
  ].join('\n')
}

export function medianOf(values: readonly number[]): number {
  return quantileOf(values, 0.5)
}

export function quantileOf(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0
}

function isWithin({ value, least, most }: Figure): boolean {
  return (least === undefined || Number(value) >= least) && (most === undefined || Number(value) <= most)
}

/** How servers ended that were asked to: in time, and by themselves. */
export function stopFigures(
  endings: readonly { readonly ms: number; readonly exitCode: number | null }[],
): Figure[] {
  const longest = Math.round(Math.max(0, ...endings.map(({ ms }) => ms)))
  return [
    { name: 'SIGTERMs', value: endings.length },
    { name: 'SIGTERM to the end, longest (ms)', value: longest, most: stopLimitMs },
    {
      name: 'SIGTERMs without exit code 0',
      value: endings.filter(({ exitCode }) => exitCode !== 0).length,
      most: 0,
    },
  ]
}
