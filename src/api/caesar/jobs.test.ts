import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createFakeExecutions, type FakeExecutions } from '../../../test/helpers/fake-executions.ts'
import type { ExecutionState } from '../../engine/contract.ts'
import { openDialectDatabase } from '../../store/dialect-database.ts'
import { jobLabel, openJobs, type Jobs } from './jobs.ts'
import { openStoredJobs, type NewJob, type StoredJob, type StoredJobs } from './stored-jobs.ts'
import { caesarTables } from './tables.ts'

const submittedAt = 1_000_000
let database: DatabaseSync
let store: StoredJobs
let executions: FakeExecutions
let jobs: Jobs
let now: number

beforeEach(() => {
  database = openDialectDatabase(':memory:', caesarTables)
  store = openStoredJobs(database)
  executions = createFakeExecutions('/nonexistent')
  now = submittedAt
  jobs = openJobs(store, executions, () => now)
})
afterEach(() => database.close())

const fresh: NewJob = {
  id: 'job',
  owner: 'ann',
  app: 'probe',
  dataInputs: { data: ['a'] },
  echo: { job_inputs: { label: 'x' } },
  ignored: ['run'],
  tag: 'tag',
  submittedAt,
  key: undefined,
  digest: 'd',
}

/** A job whose execution stands like this. */
function jobWith(state: Partial<ExecutionState>, execution = 'e'): StoredJob {
  const none = { ready: 1, running: 0, completed: 0, failed: 0 }
  const running = {
    id: execution,
    owner: 'ann',
    labels: { [jobLabel]: 'job' },
    name: 'probe',
    script: 'workflow.ts',
  }
  executions.all.set(execution, {
    workDirectory: '/nonexistent',
    output: '',
    jobs: [],
    state: {
      ...running,
      state: 'running',
      isCancelled: false,
      startedAt: submittedAt,
      endedAt: null,
      counts: none,
      capsules: [],
      environments: [],
      ...state,
    },
  })
  store.add(fresh)
  store.setExecution('job', execution)
  return read()
}

function read(): StoredJob {
  const job = store.find('job', 'ann')
  if (job === undefined) throw new Error('Expected the job on record.')
  return job
}

function change(state: Partial<ExecutionState>, execution = 'e'): void {
  const found = executions.all.get(execution)
  if (found !== undefined) found.state = { ...found.state, ...state }
}

const counts = { ready: 0, running: 1, completed: 0, failed: 0 }

describe('a record', () => {
  test('is read as it was written', () => {
    expect(jobWith({})).toEqual({
      ...fresh,
      execution: 'e',
      state: 'PENDING',
      status: 'Task pending to be executed',
      exitCode: -1,
      elapsedSeconds: undefined,
      bytes: undefined,
    })
    expect(store.find('job', 'bob')).toBeUndefined()
    expect(store.list('bob')).toEqual([])
  })

  test('goes from pending to running and never back', () => {
    expect(jobs.refresh(jobWith({})).state).toBe('PENDING')
    change({ counts })
    expect(jobs.refresh(read()).state).toBe('RUNNING')
    change({ counts: { ...counts, ready: 1, running: 0 } })
    expect(jobs.refresh(read()).state).toBe('RUNNING')
    now += 2600
    expect(jobs.elapsedSeconds(read())).toBe(3)
  })

  test('of an end is written once', () => {
    jobWith({ state: 'finished', endedAt: submittedAt + 12_000 })
    expect(jobs.refresh(read())).toMatchObject({ state: 'SUCCESS', exitCode: 0, elapsedSeconds: 12 })
    change({ state: 'failed', isCancelled: true })
    expect(jobs.refresh(read())).toMatchObject({ state: 'SUCCESS', exitCode: 0 })
    store.setEnd('job', { state: 'FAILURE', status: 'late', exitCode: 9 }, 99)
    store.setRunning('job')
    expect(read()).toMatchObject({ state: 'SUCCESS', exitCode: 0, elapsedSeconds: 12 })
  })

  test('outlives its execution', () => {
    jobWith({})
    executions.all.clear()
    expect(jobs.refresh(read())).toMatchObject({ state: 'CLEARED', exitCode: -1 })
  })
})

describe('a cancel', () => {
  test('that comes as the job finishes says that it has finished', async () => {
    jobWith({ counts })
    const own = { ...executions, cancel: async () => change({ state: 'finished', endedAt: now }) }
    expect(await jobs.cancel(read(), own)).toMatchObject({ state: 'SUCCESS' })
  })

  test('is not overwritten by the failure of a job that was killed', async () => {
    jobWith({ counts })
    const own = {
      ...executions,
      cancel: async () =>
        change({ state: 'failed', isCancelled: true, endedAt: now, error: { message: 'SIG -9' } }),
    }
    expect(await jobs.cancel(read(), own)).toMatchObject({ state: 'CANCELED', exitCode: -1 })
    change({ isCancelled: false })
    expect(jobs.refresh(read())).toMatchObject({ state: 'CANCELED' })
  })

  test('waits for a start that is under way', async () => {
    store.add(fresh)
    const { promise, resolve } = Promise.withResolvers<string>()
    const begun = jobs.begin('job', () => promise)
    const cancelled: string[] = []
    const canceling = jobs.cancel(read(), { ...executions, cancel: async (id) => void cancelled.push(id) })
    store.remove('job')
    jobWith({ counts }, 'late')
    resolve('late')
    await Promise.all([begun, canceling])
    expect(cancelled).toEqual(['late'])
  })
})

test('what cannot be started leaves no record', async () => {
  store.add(fresh)
  await expect(jobs.begin('job', () => Promise.reject(new Error('no room')))).rejects.toThrow('no room')
  expect(store.list(undefined)).toEqual([])
})

test('what is on record of jobs is counted by their owners', () => {
  expect(store.recordedBytes('ann')).toBe(0)
  store.add({ ...fresh, echo: { job_inputs: { label: 'ä'.repeat(5000) } } })
  store.add({ ...fresh, id: 'bobs', owner: 'bob' })
  expect(store.recordedBytes('ann')).toBeGreaterThan(10_000)
  expect(store.recordedBytes('ann')).toBeLessThan(10_200)
  expect(store.recordedBytes('bob')).toBeLessThan(200)
})

test('the same key is one job, of each owner', () => {
  store.add({ ...fresh, key: 'k' })
  expect(() => store.add({ ...fresh, id: 'other', key: 'k' })).toThrow('UNIQUE')
  store.add({ ...fresh, id: 'bobs', owner: 'bob', key: 'k' })
  expect(store.findByKey('k', 'bob')?.id).toBe('bobs')
})
