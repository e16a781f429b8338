import { expect, test } from 'vitest'
import { ends, job, pod, runs, start } from '../pods/observe.fixtures.ts'
import { pilotStateOf, type PilotState } from './state.ts'
import type { WireJob, WirePod } from '../cluster/wire.ts'

const limits = { pendingLimitMs: 120_000, stopGraceMs: 10_000 }
const stateOf = (given: WireJob, pods: readonly WirePod[], seconds = 20): PilotState =>
  pilotStateOf(given, pods, limits, start + seconds * 1000)

test('a pilot is open when both its loop and what serves the server run', () => {
  expect(stateOf(job(), [])).toMatchObject({ kind: 'starting' })
  expect(
    stateOf(job(), [pod({ main: runs, stageOut: { waiting: { reason: 'ContainerCreating' } } })]),
  ).toMatchObject({
    kind: 'starting',
  })
  expect(stateOf(job(), [pod({ main: runs, stageOut: runs })])).toMatchObject({
    kind: 'open',
    pod: { uid: 'pod-uid' },
  })
})

test('one that is over keeps its files as long as what serves the server runs', () => {
  const ended = { main: ends(0), stageOut: runs }
  expect(stateOf(job(), [pod(ended)])).toMatchObject({
    kind: 'closing',
    end: { isFailure: false, refusal: undefined },
  })
  expect(stateOf(job(), [pod({ ...ended, main: ends(137, { reason: 'OOMKilled' }) })])).toMatchObject({
    kind: 'closing',
    end: { cause: 'out-of-memory', isFailure: true },
  })
  expect(stateOf(job(), [pod({ main: ends(0), stageOut: ends(0) })])).toMatchObject({ kind: 'gone' })
})

test('one that is deleted, or has a second pod, is gone', () => {
  const running = { main: runs, stageOut: runs }
  expect(stateOf(job(), [pod({ ...running, deleted: true })])).toMatchObject({
    kind: 'gone',
    uid: 'pod-uid',
    end: { cause: 'preempted', isFailure: true, refusal: undefined },
  })
  expect(stateOf(job(), [pod(running), pod({ ...running, uid: 'other' })])).toMatchObject({ kind: 'gone' })
})

test('one whose loop cannot be started is refused, and so would be the next', () => {
  const main = ends(128, { reason: 'StartError', message: 'no such file' })
  expect(stateOf(job(), [pod({ main, stageOut: runs })])).toMatchObject({
    kind: 'closing',
    end: { refusal: expect.stringContaining('no such file') },
  })
})
