import { expect, test } from 'vitest'
import { endOf, hasBegun } from './job-state.ts'

const failed = { state: 'failed', isCancelled: false } as const

test('an execution that finished is a success, also when somebody asked it to stop too late', () => {
  for (const isCancelled of [false, true])
    expect(endOf({ state: 'finished', isCancelled }, undefined)).toEqual({
      state: 'SUCCESS',
      status: 'Process terminated with success',
      exitCode: 0,
    })
})

test('one that was cancelled is canceled, whatever its jobs came to', () => {
  expect(endOf({ ...failed, isCancelled: true }, { exitCode: 137, error: 'The command ended' })).toEqual({
    state: 'CANCELED',
    status: 'Job canceled by user',
    exitCode: -1,
  })
})

test.each([
  ['The command ended with exit code 7: no', 7, 'FAILURE', 7, 'Process terminated with return code 7'],
  ['It threw', null, 'FAILURE', 1, 'Process terminated with return code 1'],
  ['The output is missing', 0, 'FAILURE', 1, 'Process terminated with return code 0'],
  ['The command was stopped (timeout): It ran longer', null, 'TIMED-OUT', 124, 'Task exceeded time limits'],
  [
    'The command was stopped (out-of-memory): killed',
    null,
    'FAILURE',
    126,
    'Job terminated due to experienced out of memory error',
  ],
  [
    'The command was stopped (node-failure): gone',
    null,
    'FAILURE',
    126,
    'Job terminated due to node failure',
  ],
  [
    'The environment lost the job: gone',
    null,
    'FAILURE',
    126,
    'Job terminated due to an error of its environment',
  ],
  [
    'The environment refused the job: no such queue',
    null,
    'FAILURE',
    126,
    'Job terminated due to an error of its environment',
  ],
  ['The command was stopped (signal): 9', null, 'FAILURE', 1, 'Process terminated with return code 1'],
])('%s', (error, exitCode, state, code, status) => {
  expect(endOf(failed, { exitCode, error })).toEqual({ state, status, exitCode: code })
  expect(
    endOf({ ...failed, error: { message: error } }, exitCode === null ? undefined : { exitCode, error }),
  ).toEqual({ state, status, exitCode: code })
})

test('nothing has begun while all jobs wait', () => {
  const counts = { ready: 3, running: 0, completed: 0, failed: 0 }
  expect(hasBegun({ counts })).toBe(false)
  for (const key of ['running', 'completed', 'failed'])
    expect(hasBegun({ counts: { ...counts, [key]: 1 } })).toBe(true)
})
