import { expect, test } from 'vitest'
import { createRates, describeProgress, drawProgress, type CapsuleProgress } from './progress.ts'

const capsule = (counts: Partial<CapsuleProgress> = {}): CapsuleProgress => ({
  name: 'walk',
  ready: 0,
  running: 0,
  completed: 0,
  failed: 0,
  ...counts,
})

test('a rate counts completed and failed jobs over the time since the first ended', () => {
  const rates = createRates()
  rates.note([capsule()], 0)
  rates.note([capsule()], 60_000)
  rates.note([capsule({ completed: 9, failed: 1 })], 62_000)
  expect(rates.perSecond('walk')).toBe(5)
})

test('a rate forgets what lies more than half a minute back', () => {
  const rates = createRates()
  for (let second = 0; second <= 60; second += 1)
    rates.note([capsule({ completed: second * 10 })], second * 1000)
  for (let second = 61; second <= 100; second += 1)
    rates.note([capsule({ completed: 600 + second - 60 })], second * 1000)
  expect(rates.perSecond('walk')).toBeCloseTo(1, 1)
})

test('a capsule of which nothing is known has no rate', () => {
  expect(createRates().perSecond('walk')).toBe(0)
})

test('a line tells counts, rate and the time left', () => {
  const rates = createRates()
  rates.note([capsule()], 0)
  const now = capsule({ ready: 80, running: 4, completed: 12, failed: 4 })
  rates.note([now], 4000)
  expect(describeProgress([now], rates)).toBe('walk 12/100, 4 failed, 4 running, 4.0/s, 21 s left')
})

test('a bar is as full as jobs have ended, and no line is wider than the terminal', () => {
  const lines = drawProgress(
    [capsule({ ready: 5, completed: 5 }), capsule({ name: 'a-very-long-name-of-a-capsule-indeed' })],
    createRates(),
    80,
  )
  expect(lines[0]).toMatch(/^walk {21}█+░+ 5\/10$/)
  const [full, empty] = [/█+/, /░+/].map((part) => part.exec(lines[0] ?? '')?.[0].length)
  expect(full).toBe(empty)
  expect(lines.every((line) => line.length <= 80)).toBe(true)
})
