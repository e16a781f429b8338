import { beforeEach, expect, test } from 'vitest'
import { toJobId, type JobId, type JobRequest } from '../../../src/environment/environment.ts'
import { PilotJobs } from './jobs.ts'
import type { PilotEnd } from './state.ts'

const [a, b, c] = ['a', 'b', 'c'].map((text) => toJobId(text)) as [JobId, JobId, JobId]
const request = (id: JobId): JobRequest => ({
  id,
  command: ['true'],
  env: {},
  workDirectory: '/work',
  inputs: [],
  outputs: [],
  resources: {},
})
const end: PilotEnd = { cause: 'preempted', message: 'It is gone.', refusal: undefined, isFailure: true }

let now: number
let told: JobId[]
let jobs: PilotJobs
beforeEach(() => {
  now = 0
  told = []
  jobs = new PilotJobs(
    (ids) => void told.push(...ids),
    () => now,
  )
  for (const id of [a, b, c]) jobs.add(request(id), 1)
})

const waiting = (): readonly JobId[] => [...jobs.waiting].map(({ id }) => id)

test('a pilot that is gone takes along what runs, and what did not begin waits again, in its order', () => {
  for (const id of [a, b, c]) jobs.go(id, 'p')
  for (const id of [a, b]) jobs.arrived(id, 'p')
  jobs.started(a, 'p', 'node')
  expect(jobs.get(a)?.observation).toEqual({ kind: 'running', host: 'node' })
  jobs.gone('p', end)
  expect(jobs.get(a)?.observation).toEqual({ kind: 'stopped', cause: 'preempted', message: 'It is gone.' })
  expect(waiting()).toEqual([b, c])
  expect(jobs.of('p').map(({ id }) => id)).toEqual([a])
  jobs.forget(a)
  expect(jobs.pilots()).toEqual([])
})

test('a job of which nothing is known any more may have run', () => {
  jobs.forget(a)
  jobs.add(request(a), 1, { pilot: 'p' })
  expect(jobs.get(a)?.observation).toEqual({ kind: 'running' })
  jobs.gone('p', end)
  expect(jobs.get(a)?.observation).toMatchObject({ kind: 'stopped', cause: 'preempted' })
})

test('a pilot without memory ended for one job only where it was alone', () => {
  const memory: PilotEnd = { ...end, cause: 'out-of-memory' }
  for (const id of [a, b]) jobs.go(id, 'p')
  for (const id of [a, b]) jobs.started(id, 'p', undefined)
  jobs.gone('p', memory)
  expect(jobs.get(a)?.observation).toMatchObject({ cause: 'node-failure' })
  jobs.go(c, 'q')
  jobs.started(c, 'q', undefined)
  jobs.gone('q', memory)
  expect(jobs.get(c)?.observation).toMatchObject({ cause: 'out-of-memory' })
})

test('a cancelled job never waits again', () => {
  jobs.go(a, 'p')
  jobs.cancel(a)
  jobs.cancel(b)
  expect(jobs.get(b)?.observation).toMatchObject({ cause: 'cancelled' })
  jobs.back(a)
  expect(jobs.get(a)?.observation).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  expect(waiting()).toEqual([c])
})

test('news of a pilot that has the job no more mean nothing, and neither do late ones', () => {
  jobs.go(a, 'p')
  jobs.started(a, 'p', undefined)
  // The list that was asked for before tells of it once more.
  jobs.arrived(a, 'p')
  expect(jobs.get(a)?.stage).toBe('running')
  jobs.ended(a, 'p', { kind: 'exited', exitCode: 3 }, 'node')
  jobs.ended(a, 'p', { kind: 'signalled', signal: 9 }, 'node')
  jobs.started(a, 'p', undefined)
  expect(jobs.get(a)?.observation).toEqual({ kind: 'exited', exitCode: 3, host: 'node' })
  jobs.started(b, 'p', undefined)
  expect(waiting()).toEqual([b, c])
})

test('tells of changes, and how long jobs take', () => {
  jobs.go(a, 'p')
  jobs.started(a, 'p', undefined)
  now = 1000
  jobs.ended(a, 'p', { kind: 'exited', exitCode: 0 }, undefined)
  expect(jobs.meanMs).toBe(1000)
  expect(told).toEqual([a, a])
  expect(jobs.isBusy).toBe(true)
  for (const id of [b, c]) jobs.cancel(id)
  expect(jobs.isBusy).toBe(false)
})
