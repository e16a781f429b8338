/** What came of one check of the conformance suite on one environment. */
export interface CheckResult {
  readonly environment: string
  readonly check: string
  readonly outcome: 'passed' | 'failed' | 'not for it' | 'not there'
  /** Why it was not there, or why the check is not for it. */
  readonly reason?: string
}

const signs: Readonly<Record<CheckResult['outcome'], string>> = {
  passed: '✓',
  failed: '✗',
  'not for it': '–',
  'not there': '·',
}

const outcomes = ['passed', 'failed', 'not for it', 'not there'] as const

/** A Markdown table of checks by environments; environments stand as numbers, which a list before it explains. */
export function conformanceTable(results: readonly CheckResult[]): string {
  const environments = [...new Set(results.map(({ environment }) => environment))].sort()
  const checks = [...new Set(results.map(({ check }) => check))]
  const found = new Map(results.map((result) => [`${result.environment}\n${result.check}`, result]))
  const legend = environments.map((environment, index) => `${index + 1}. ${describe(environment, results)}`)
  const head = ['check', ...environments.map((_, index) => String(index + 1))]
  const rows = checks.map((check) => [
    check,
    ...environments.map((environment) => signOf(found.get(`${environment}\n${check}`))),
  ])
  return `${legend.join('\n')}\n\n${markdown([head, ...rows])}\n`
}

/** What a text that ends with such a table tells, check by check; nothing where there is none. */
export function readConformanceTable(text: string): readonly CheckResult[] {
  const environments = [...text.matchAll(/^\d+\. (.+): (?:was not there \((.*)\)|\d+ passed\b.*)$/gm)]
  const [head, , ...rows] = text.split('\n').filter((line) => line.startsWith('| '))
  if (head === undefined) return []
  return rows.flatMap((row) => {
    const [check = '', ...cells] = row
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.trim())
    return cells.flatMap((sign, index): readonly CheckResult[] => {
      const [, environment, reason] = environments[index] ?? []
      const outcome = outcomes.find((each) => signs[each] === sign)
      if (environment === undefined || outcome === undefined) return []
      return [{ environment, check, outcome, ...(reason !== undefined && { reason }) }]
    })
  })
}

/** What a new run has found, and for environments that were not there, or had no part in it, what was known before. */
export function mergeResults(
  known: readonly CheckResult[],
  found: readonly CheckResult[],
): readonly CheckResult[] {
  const isKnown = (name: string) => known.some(({ environment }) => environment === name)
  const news = found.filter(({ environment, outcome }) => outcome !== 'not there' || !isKnown(environment))
  const isNew = (name: string) => news.some(({ environment }) => environment === name)
  return [...news, ...known.filter(({ environment }) => !isNew(environment))]
}

function describe(environment: string, results: readonly CheckResult[]): string {
  const own = results.filter((result) => result.environment === environment)
  const absent = own.find(({ outcome }) => outcome === 'not there')
  if (absent !== undefined) return `${environment}: was not there (${absent.reason ?? 'no reason given'})`
  const count = (outcome: CheckResult['outcome']) => own.filter((result) => result.outcome === outcome).length
  const failed = count('failed') === 0 ? '' : `, ${count('failed')} failed`
  return `${environment}: ${count('passed')} passed${failed}, ${count('not for it')} not for it`
}

function signOf(result: CheckResult | undefined): string {
  return result === undefined ? '' : signs[result.outcome]
}

function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const [head, ...body] = rows
  return [line(head!), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(line)].join(
    '\n',
  )
}
