import type { Json } from '../../workflow/value.ts'

/**
 * Rows of a CSV file (RFC 4180, lines ending in LF). An array is one cell, `[1,2,3]`; with `arrays: 'rows'` its
 * elements become rows, as many as the longest array has, and single values repeat.
 */
export function csvRows(values: readonly Json[], arrays: 'cell' | 'rows'): string {
  if (arrays === 'cell') return csvLine(values.map((value) => asCell(value)))
  const count = Math.max(1, ...values.map((value) => (Array.isArray(value) ? value.length : 0)))
  if (values.some((value) => Array.isArray(value)) && values.every(isEmptyOrSingle)) return ''
  const lines: string[] = []
  for (let row = 0; row < count; row += 1)
    lines.push(
      csvLine(values.map((value) => (Array.isArray(value) ? asCell(value[row] as Json) : asCell(value)))),
    )
  return lines.join('')
}

/** One line of already written cells. */
export function csvLine(cells: readonly string[]): string {
  return `${cells.map((cell) => quoteCell(cell)).join(',')}\n`
}

function isEmptyOrSingle(value: Json): boolean {
  return !Array.isArray(value) || value.length === 0
}

function asCell(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return `[${value.map((each: Json) => asCell(each)).join(',')}]`
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function quoteCell(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}
