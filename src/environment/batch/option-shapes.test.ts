import { expect, test } from 'vitest'
import { z } from 'zod'
import { defaultsShape, duration, memory, oneOrMany, schedulerName } from './option-shapes.ts'

test.each([
  ['30 s', 30_000],
  ['90 min', 5_400_000],
  ['2 h', 7_200_000],
  ['1.5 hours', 5_400_000],
  ['2d', 172_800_000],
  ['10:30', 630_000],
  ['01:00:00', 3_600_000],
  ['1-02:00:00', 93_600_000],
  [1500, 1500],
])('the duration %j is %i ms', (text, ms) => {
  expect(duration.parse(text)).toBe(ms)
})

test.each([
  ['512 MB', 2 ** 29],
  ['4G', 2 ** 32],
  ['1.5 GiB', 1.5 * 2 ** 30],
  [4096, 4096],
])('the memory %j is %i bytes', (text, bytes) => {
  expect(memory.parse(text)).toBe(bytes)
})

test.each(['', '90', '0 s', '0:00', '-1 h', '1 month', 0, 1.5, '1e99 d'])(
  '%j is no duration and no memory',
  (value) => {
    expect([duration.safeParse(value).success, memory.safeParse(value).success]).toEqual([false, false])
  },
)

test.each([{ time: 30 }, { memory: 2000 }])('%j lacks its unit: no job could mean so little', (options) => {
  const { error } = z.strictObject(defaultsShape).safeParse(options)
  expect(error?.issues[0]?.message).toMatch(/expected at least 1 \w+, .* without a unit/)
})

test('one or many become a list', () => {
  const names = oneOrMany(schedulerName)
  expect([names.parse('a'), names.parse(['a', 'b'])]).toEqual([['a'], ['a', 'b']])
})
