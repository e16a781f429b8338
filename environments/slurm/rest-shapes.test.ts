import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Batch } from '../../src/environment/batch/scheduler.ts'
import { directiveShape } from './options.ts'
import { accountedJobs, indicesIn, listedJobs, submission } from './rest-shapes.ts'

const options = z.strictObject(directiveShape).parse({
  partition: 'main',
  exclusive: true,
})
const batch: Batch = {
  name: 'b-1',
  size: 3,
  resources: { cpus: 2, wallTimeMs: 90_000, memoryBytes: 100 * 2 ** 20, gpus: 1, nodes: 2 },
  directory: '/b',
  logPath: '/b/50%',
}

const versions = ['v0.0.36', 'v0.0.38', 'v0.0.39', 'v0.0.40', 'v0.0.42', 'v0.0.44']

test.each(versions)('a submission as %s takes it', async (version) => {
  const text = JSON.stringify(submission(version, '#!/bin/bash\n', batch, options), undefined, 2)
  await expect(`${text}\n`).toMatchFileSnapshot(`golden/submission-${version}.txt`)
})

/** As Slurm 22.05 answers: plain numbers, one state, wait statuses. */
const old = [
  { job_id: 7, name: 'b-one', job_state: 'RUNNING', state_reason: 'None', nodes: 'n1', exit_code: 0 },
  {
    job_id: 14,
    array_job_id: 14,
    array_task_id: null,
    array_task_string: '2-4%50',
    name: 'b-1',
    job_state: 'PENDING',
    state_reason: 'Resources',
    exit_code: 0,
    nodes: '',
  },
  {
    job_id: 18,
    array_job_id: 14,
    array_task_id: 1,
    array_task_string: '',
    name: 'b-1',
    job_state: 'FAILED',
    state_reason: 'NonZeroExitCode',
    exit_code: 256,
    nodes: 'n1',
  },
  {
    job_id: 19,
    array_job_id: 14,
    array_task_id: 0,
    array_task_string: '',
    name: 'b-1',
    job_state: 'FAILED',
    exit_code: 9,
  },
  { nothing: 'known' },
]

/** As Slurm 24.11 answers: lists of states, numbers that say whether they are set. */
const set = (number: number) => ({ set: true, infinite: false, number })
const unset = { set: false, infinite: false, number: 0 }
const recent = [
  {
    job_id: 12,
    array_job_id: set(11),
    array_task_id: set(0),
    array_task_string: '',
    name: 'b-1',
    job_state: ['RUNNING', 'COMPLETING'],
    state_reason: 'None',
    nodes: 'n1',
    exit_code: { status: ['SUCCESS'], return_code: set(0), signal: { id: unset, name: '' } },
  },
  {
    job_id: 13,
    array_job_id: set(11),
    array_task_id: set(1),
    array_task_string: '',
    name: 'b-1',
    job_state: ['CANCELLED'],
    exit_code: { status: ['SIGNALED'], return_code: unset, signal: { id: set(15), name: 'TERM' } },
  },
  {
    job_id: 11,
    array_job_id: set(11),
    array_task_id: unset,
    array_task_string: '2-3',
    name: 'b-1',
    job_state: ['PENDING'],
    exit_code: { status: ['PENDING'], return_code: unset },
  },
  {
    job_id: 30,
    array_job_id: set(0),
    array_task_id: unset,
    array_task_string: '',
    name: 'b-one',
    job_state: ['FAILED'],
    exit_code: { status: ['ERROR'], return_code: set(7), signal: { id: unset, name: '' } },
  },
]

test('the old list tells each task of an array', () => {
  const told = [...listedJobs(old, 1000)].map(([id, { listing }]) => [id, listing.kind])
  expect(Object.fromEntries(told)).toEqual({
    7: 'running',
    '14_0': 'stopped',
    '14_1': 'ended',
    '14_2': 'queued',
    '14_3': 'queued',
    '14_4': 'queued',
  })
  expect(listedJobs(old, 1000).get('14_1')).toEqual({
    batchName: 'b-1',
    index: 1,
    listing: { kind: 'ended', exitCode: 1 },
  })
  expect(listedJobs(old, 1000).get('14_0')?.listing).toMatchObject({ cause: 'signal' })
})

/** As Slurm 23.02 answers by v0.0.39: numbers that say whether they are set, but one state, and -127 for no exit code. */
const between = [
  {
    job_id: 12,
    array_job_id: set(11),
    array_task_id: set(0),
    array_task_string: '',
    name: 'b-1',
    job_state: 'RUNNING',
    state_reason: 'None',
    nodes: 'n1',
    exit_code: { status: 'SUCCESS', return_code: 0 },
  },
  {
    job_id: 13,
    array_job_id: set(11),
    array_task_id: set(1),
    array_task_string: '',
    name: 'b-1',
    job_state: 'FAILED',
    exit_code: { status: 'SIGNALED', return_code: -127, signal: { signal_id: 9, name: 'KILL' } },
  },
  {
    job_id: 11,
    array_job_id: set(11),
    array_task_id: unset,
    array_task_string: '2-3',
    name: 'b-1',
    job_state: 'PENDING',
    exit_code: { status: 'PENDING', return_code: -127 },
  },
  {
    job_id: 30,
    array_job_id: set(0),
    array_task_id: unset,
    array_task_string: '',
    name: 'b-one',
    job_state: 'FAILED',
    exit_code: { status: 'ERROR', return_code: 7 },
  },
]

test('the list of v0.0.39 tells the same, between the two', () => {
  expect(Object.fromEntries([...listedJobs(between, 1000)].map(([id, row]) => [id, row.listing]))).toEqual({
    '11_0': { kind: 'running', host: 'n1' },
    '11_1': expect.objectContaining({ kind: 'stopped', cause: 'signal' }),
    '11_2': { kind: 'queued' },
    '11_3': { kind: 'queued' },
    30: { kind: 'ended', exitCode: 7 },
  })
})

test('the new list tells the same in its own shape', () => {
  expect(Object.fromEntries([...listedJobs(recent, 1000)].map(([id, row]) => [id, row.listing]))).toEqual({
    '11_0': { kind: 'running', host: 'n1' },
    '11_1': expect.objectContaining({ kind: 'stopped', cause: 'cancelled' }),
    '11_2': { kind: 'queued' },
    '11_3': { kind: 'queued' },
    30: { kind: 'ended', exitCode: 7 },
  })
})

test.each([
  ['3', [3]],
  ['0-2,7', [0, 1, 2, 7]],
  ['0-6:3%2', [0, 3, 6]],
  ['5,7,...', [5, 7, 8, 9]],
  ['0-99999999', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
  ['', []],
  ['nonsense', []],
])('the indices in %j', (text, indices) => {
  expect(indicesIn(text, 10)).toEqual(indices)
})

test('the accounting tells states and signals, but no exit codes', () => {
  const jobs = [
    {
      job_id: 18,
      array: { job_id: 14, task: null, task_id: 1 },
      state: { current: 'FAILED', reason: 'None' },
      // The job exited with 7.
      exit_code: { status: 'SUCCESS', return_code: 0 },
    },
    {
      job_id: 19,
      array: { job_id: 0, task: null, task_id: null },
      state: { current: ['FAILED'], reason: 'None' },
      exit_code: { status: 'SIGNALED', return_code: 0, signal: { signal_id: 9, name: 'SIGKILL' } },
    },
    { job_id: 20, array: { job_id: 0 }, state: { current: 'NODE_FAIL' } },
  ]
  expect(Object.fromEntries(accountedJobs(jobs))).toMatchObject({
    '14_1': { kind: 'ended' },
    19: { kind: 'stopped', cause: 'signal' },
    20: { kind: 'stopped', cause: 'node-failure' },
  })
  expect(accountedJobs(jobs).get('14_1')).toEqual({ kind: 'ended' })
})

test('the accounting over HTTP is not believed of a job that has had the number before', () => {
  const jobs = ['m-earlier', 'm7f3a'].map((name, index) => ({
    job_id: 7 + index,
    name,
    array: { job_id: 0 },
    state: { current: 'NODE_FAIL' },
  }))
  expect([...accountedJobs(jobs, (_, name) => name === 'm7f3a').keys()]).toEqual(['8'])
})
