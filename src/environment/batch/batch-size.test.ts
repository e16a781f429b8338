import { expect, test } from 'vitest'
import { BatchSize } from './batch-size.ts'

test('a limit that gives way is felt for: half as many, then twice as many', () => {
  const size = new BatchSize(1000)
  expect(size.isFull).toBe(true)
  size.deferred(1000)
  size.deferred(500)
  expect([size.now, size.isFull]).toEqual([250, false])
  size.taken(10)
  expect(size.now).toBe(250)
  for (const taken of [250, 500, 1000]) size.taken(taken)
  expect([size.now, size.isFull]).toEqual([1000, true])
})

test('a limit that stays is kept, and one job is the least', () => {
  const size = new BatchSize(100)
  size.refused(100)
  size.taken(50)
  expect([size.now, size.isFull]).toEqual([50, true])
  size.deferred(1)
  expect(size.now).toBe(1)
})
