import { expect, test } from 'vitest'
import { toJobId, type JobRequest } from '../../src/environment/environment.ts'
import { bundleSize, groupAlike, openJobsAtFirst, slices } from './bundles.ts'

const needs = { fixed: undefined, jobMs: undefined, waiting: 1000, hostCpus: 10 }

test('bundles make some ten minutes, and leave something for every processor', () => {
  expect(bundleSize({ ...needs, fixed: 7, jobMs: 1 })).toBe(7)
  expect(bundleSize(needs)).toBe(1)
  expect(bundleSize({ ...needs, jobMs: 10_000 })).toBe(60)
  expect(bundleSize({ ...needs, jobMs: 500 })).toBe(100)
  expect(bundleSize({ ...needs, jobMs: 1, waiting: 1_000_000 })).toBe(500)
  expect(bundleSize({ ...needs, jobMs: 3_600_000 })).toBe(1)
  expect(bundleSize({ ...needs, jobMs: 10_000, waiting: 25 })).toBe(3)
  expect(bundleSize({ ...needs, jobMs: 10_000, waiting: 5, hostCpus: 0 })).toBe(5)
})

test('before it is known how long jobs take, every processor gets some', () => {
  expect(openJobsAtFirst(0)).toBe(100)
  expect(openJobsAtFirst(1000)).toBe(4000)
})

test('jobs of one execution with the same needs go together', () => {
  const request: JobRequest = {
    id: toJobId('a'),
    command: ['true'],
    env: {},
    workDirectory: '/work',
    inputs: [],
    outputs: [],
    resources: {},
  }
  const [a, b, c, d] = [
    request,
    { ...request, id: toJobId('b'), resources: { cpus: 2 } },
    { ...request, id: toJobId('c'), command: ['false'] },
    { ...request, id: toJobId('d'), workDirectory: '/other' },
  ] as const
  expect(groupAlike([a, b, c, d])).toEqual([[a, c], [b], [d]])
  expect(slices([1, 2, 3, 4, 5], 2)).toEqual([[1, 2], [3, 4], [5]])
})
