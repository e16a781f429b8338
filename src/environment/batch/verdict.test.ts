import { describe, expect, test } from 'vitest'
import type { JobMark } from '../job-files/job-files.ts'
import type { Listing } from './scheduler.ts'
import { judge, type Evidence } from './verdict.ts'

const waiting: JobMark = { kind: 'waiting', isCancelled: false }
const started: JobMark = { kind: 'started', isCancelled: false, host: 'n1' }
const killed: JobMark = {
  kind: 'ended',
  isCancelled: false,
  host: 'n1',
  end: { kind: 'signalled', signal: 9 },
}
const exited = (exitCode: number, isCancelled = false): JobMark => ({
  kind: 'ended',
  isCancelled,
  host: 'n1',
  end: { kind: 'exited', exitCode },
})
const noMemory = { kind: 'stopped', cause: 'out-of-memory', message: 'too much' } as const
const failed: Listing = { kind: 'stopped', cause: 'unknown', message: 'failed' }

function judged(mark: JobMark, more: Partial<Evidence> = {}) {
  return judge({
    mark,
    listing: undefined,
    accounted: undefined,
    mayBeAccounted: false,
    missingMs: 0,
    limits: { exitFileGraceMs: 60_000, causeGraceMs: 10_000 },
    ...more,
  })
}

describe('the exit file of a job counts', () => {
  test.each<Listing | undefined>([undefined, { kind: 'running' }, failed, { kind: 'ended', exitCode: 1 }])(
    'whatever the scheduler says: %j',
    (listing) => {
      expect(judged(exited(7), listing === undefined ? {} : { listing }).observation).toEqual({
        kind: 'exited',
        exitCode: 7,
        host: 'n1',
      })
    },
  )

  test('and a job that was cancelled before it ended is cancelled', () => {
    expect(judged(exited(0, true)).observation).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  })

  test('but exit code 137 of a job without memory is the lack of memory', () => {
    expect(judged(exited(137), { listing: noMemory }).observation).toEqual(noMemory)
    expect(judged(exited(137)).observation).toMatchObject({ kind: 'exited', exitCode: 137 })
  })

  test('a job that the scheduler held and ended has ended for that, and must be cancelled to leave the list', () => {
    const held: Listing = { kind: 'stuck', stopped: noMemory }
    expect(judged(killed, { listing: held })).toMatchObject({ observation: noMemory, isStuck: true })
    expect(judged(exited(143), { listing: held })).toMatchObject({ observation: noMemory, isStuck: true })
    const verdict = judged(exited(3), { listing: held })
    expect(verdict).toMatchObject({ observation: { kind: 'exited', exitCode: 3 }, isStuck: true })
  })

  test('and 143 of a job that the scheduler ended in time is the end of its time', () => {
    const late = { kind: 'stopped', cause: 'timeout', message: 'too long' } as const
    expect(judged(exited(143), { listing: late }).observation).toEqual(late)
    expect(judged(exited(143), { listing: { kind: 'ended' } }).observation).toMatchObject({ exitCode: 143 })
    expect(judged(exited(3), { listing: late }).observation).toMatchObject({ exitCode: 3 })
  })

  test('and 143 of a job that the scheduler still lists as running waits for its word, for a while', () => {
    const listing = { kind: 'running' } as const
    expect(judged(exited(143), { listing })).toMatchObject({
      observation: { kind: 'running' },
      isMissing: true,
    })
    expect(judged(exited(143), { listing, missingMs: 3_600_000 }).observation).toMatchObject({
      exitCode: 143,
    })
    expect(judged(exited(3), { listing }).observation).toMatchObject({ exitCode: 3 })
  })
})

describe('a signal is explained by the scheduler', () => {
  test.each(['listing', 'accounted'] as const)('in its %s', (where) => {
    expect(judged(killed, { [where]: noMemory }).observation).toEqual(noMemory)
  })

  test('which is waited for while it may still come', () => {
    const soon = judged(killed, { mayBeAccounted: true })
    expect(soon).toMatchObject({ observation: { kind: 'running' }, isMissing: true })
    const late = judged(killed, { mayBeAccounted: true, missingMs: 10_000 })
    expect(late.observation).toEqual({
      kind: 'stopped',
      cause: 'signal',
      message: 'It was ended by SIGKILL (signal 9).',
    })
  })

  test.each<Listing>([failed, { kind: 'ended' }])('or stays a signal: %j', (accounted) => {
    expect(judged(killed, { accounted, mayBeAccounted: true }).observation).toMatchObject({ cause: 'signal' })
  })
})

describe('without an exit file', () => {
  test.each<Listing>([
    { kind: 'queued', reason: 'Priority' },
    { kind: 'running', host: 'n1' },
    { kind: 'unclear', message: 'odd' },
    noMemory,
    failed,
  ])('the scheduler is believed: %j', (listing) => {
    expect(judged(waiting, { listing })).toEqual({ observation: listing, isMissing: false })
  })

  test('an end that the scheduler tells waits for the file, then is what the scheduler knows', () => {
    const accounted: Listing = { kind: 'ended', exitCode: 3 }
    expect(judged(started, { accounted }).observation.kind).toBe('running')
    expect(judged(waiting, { accounted }).observation.kind).toBe('queued')
    expect(judged(started, { accounted, missingMs: 60_000 }).observation).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringContaining('exit code 3'),
    })
  })

  test('a job that nobody knows is waited for, then lost', () => {
    expect(judged(started, { missingMs: 59_999 })).toMatchObject({ isMissing: true })
    expect(judged(started, { missingMs: 60_000 }).observation.kind).toBe('lost')
  })

  test('a job that was cancelled and is gone is cancelled, at once', () => {
    expect(judged({ ...waiting, isCancelled: true }).observation).toMatchObject({ cause: 'cancelled' })
    expect(judged({ ...started, isCancelled: true }, { listing: failed }).observation).toMatchObject({
      cause: 'cancelled',
    })
  })

  test('a job that would never move is to be cancelled', () => {
    const stopped = { kind: 'stopped', cause: 'unknown', message: 'for ever' } as const
    expect(judged(waiting, { listing: { kind: 'stuck', stopped } })).toEqual({
      observation: stopped,
      isMissing: false,
      isStuck: true,
    })
  })
})

test('a job without a directory is lost, whatever the scheduler says', () => {
  expect(judged({ kind: 'absent' }, { listing: { kind: 'running' } }).observation.kind).toBe('lost')
})
