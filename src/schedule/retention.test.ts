import { expect, test } from 'vitest'
import type { ExecutionSummary } from '../engine/contract.ts'
import { findExpired, removeExpired } from './retention.ts'

function execution(id: string, endedAt: number | null): ExecutionSummary {
  const state = endedAt === null ? 'running' : 'finished'
  return {
    id,
    owner: '',
    labels: {},
    name: 'flow',
    script: 'flow.ts',
    state,
    isCancelled: false,
    startedAt: 0,
    endedAt,
  }
}

const all = [execution('new', 900), execution('old', 100), execution('runs', null), execution('middle', 500)]

test('with no limit everything is kept', () => {
  expect(findExpired(all, { retentionMs: 0, maxFinished: 0 }, 1e15)).toEqual([])
})

test('what ended long enough ago goes, and what runs stays', () => {
  expect(findExpired(all, { retentionMs: 500, maxFinished: 0 }, 1000)).toEqual(['old', 'middle'])
  expect(findExpired(all, { retentionMs: 501, maxFinished: 0 }, 1000)).toEqual(['old'])
})

test('of too many, those that ended first go', () => {
  expect(findExpired(all, { retentionMs: 0, maxFinished: 2 }, 1000)).toEqual(['old'])
  expect(findExpired(all, { retentionMs: 0, maxFinished: 3 }, 1000)).toEqual([])
})

test('a clock that was set back removes nothing', () => {
  expect(findExpired(all, { retentionMs: 10, maxFinished: 0 }, 50)).toEqual([])
})

test('one that cannot be removed does not hold up the others', async () => {
  const told: string[] = []
  await removeExpired(
    {
      list: () => all,
      remove: async (id) => {
        if (id === 'old') throw new Error('busy')
      },
    },
    { retentionMs: 1, maxFinished: 0 },
    1000,
    { removed: (id) => told.push(`removed ${id}`), failed: (id) => told.push(`failed ${id}`) },
    AbortSignal.timeout(10_000),
  )
  expect(told).toEqual(['failed old', 'removed middle', 'removed new'])
})
