import { expect, test } from 'vitest'
import { formatSpan, formatTable, formatTime, oneLine } from './table.ts'

test('columns are as wide as their widest cell, and lines have no white space at their end', () => {
  const table = formatTable(
    ['name', 'state'],
    [
      ['walk', 'running'],
      ['a-long-name', ''],
    ],
  )
  expect(table).toBe('name         state\nwalk         running\na-long-name\n')
})

test('cells cannot drive the terminal', () => {
  expect(formatTable(['name'], [['a\u001B[2Jb\nc']])).toBe('name\na?[2Jb c\n')
  expect(oneLine('a\r\n  b\u0007')).toBe('a b?')
})

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [3210, '3.2 s'],
  [59_900, '1 min 0 s'],
  [250_000, '4 min 10 s'],
  [3_599_900, '1 h 0 min'],
  [7_500_000, '2 h 5 min'],
  [280_000_000, '3 d 6 h'],
])('a span of %d ms is written as %s', (spanMs, text) => {
  expect(formatSpan(spanMs)).toBe(text)
})

test('a time that is not known is nothing', () => {
  expect(formatTime(undefined)).toBe('')
  expect(formatTime(null)).toBe('')
  expect(formatTime(new Date(2026, 2, 1, 9, 30, 5).getTime())).toBe('2026-03-01 09:30:05')
})
