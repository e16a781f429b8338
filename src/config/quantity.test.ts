import { assert, nat, property } from 'fast-check'
import { expect, test } from 'vitest'
import { formatBytes, formatDuration, parseBytes, parseDuration } from './quantity.ts'

test.each([
  ['512M', 512 * 2 ** 20],
  ['2GiB', 2 ** 31],
  ['2 gib', 2 ** 31],
  ['1.5k', 1536],
  ['3GB', 3e9],
  ['17', 17],
  ['0', 0],
])('the size %s is %d bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes)
})

test.each(['', ' ', '-1', '1e9', 'M', '5x', '5 constructor', '1.2.3', '9999999999999T', 'Infinity', '0x10'])(
  'the text "%s" is no size',
  (text) => {
    expect(parseBytes(text)).toBeUndefined()
  },
)

test.each([
  ['30s', 30_000],
  ['24h', 86_400_000],
  ['1.5h', 5_400_000],
  ['250', 250],
  ['250ms', 250],
  ['2d', 172_800_000],
  ['5 min', 300_000],
])('the time span %s is %d ms', (text, durationMs) => {
  expect(parseDuration(text)).toBe(durationMs)
})

test('a week is no unit of a time span', () => {
  expect(parseDuration('1w')).toBeUndefined()
})

test('what is shown reads back to the same number', () => {
  assert(
    property(nat({ max: Number.MAX_SAFE_INTEGER }), (amount) => {
      expect(parseBytes(formatBytes(amount))).toBe(amount)
      expect(parseDuration(formatDuration(amount))).toBe(amount)
    }),
  )
  expect(formatBytes(20 * 2 ** 30)).toBe('20GiB')
  expect(formatDuration(90_000)).toBe('90s')
})
