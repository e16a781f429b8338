import { expect, onTestFinished, test } from 'vitest'
import type { JobHandle, JobId } from '../../../src/environment/environment.ts'
import type { Listed, WireJob, WirePod } from '../cluster/wire.ts'
import { kubernetesOptions } from '../options.ts'
import { job, pod } from './observe.fixtures.ts'
import { ObservedObjects } from './observed-objects.ts'

const handle: JobHandle = { id: 'job-1' as JobId, nativeId: 'mh-job-1', state: { version: 1 } }
const signal = AbortSignal.timeout(60_000)

/** One job of a cluster whose watch of pods knows of none yet; `asked` is what a question for them is answered. */
function observed(seen: WireJob, asked: readonly WirePod[]) {
  const stop = new AbortController()
  const listOf = <T>(items: readonly T[]): Listed<T> => ({ items, resourceVersion: '1' })
  let questions = 0
  async function* silence(_: unknown, _version: string, _silenceMs: number, until: AbortSignal) {
    yield []
    await new Promise((_resolve, reject) => until.addEventListener('abort', () => reject(until.reason)))
  }
  const objects = new ObservedObjects(
    {
      cluster: {
        jobs: { list: async () => listOf([seen]), watch: silence, find: async () => seen },
        pods: {
          list: async ({ labelSelector = '' }) => {
            if (!labelSelector.includes('attempt')) return listOf([])
            questions += 1
            return listOf(asked)
          },
          watch: silence,
        },
        events: { list: async () => listOf([]) },
      },
      instance: 'i1',
      options: kubernetesOptions.parse({ image: 'any' }),
      servedPod: () => undefined,
      now: Date.now,
      warn: () => undefined,
    },
    () => undefined,
    () => undefined,
    stop.signal,
  )
  onTestFinished(async () => {
    stop.abort()
    await objects.ended()
  })
  return {
    questions: () => questions,
    observe: async () => (await objects.observe([handle], signal)).get(handle.id),
  }
}

const failed = job({
  status: { failed: 1, conditions: [{ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded' }] },
})
const complete = job({ status: { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] } })

test('a Job is told to be over before its pod is: the pod is asked for, and says how', async () => {
  const { observe } = observed(failed, [pod({ status: { phase: 'Failed', reason: 'OutOfcpu' } })])
  expect(await observe()).toMatchObject({ kind: 'stopped', cause: 'node-failure' })
})

test('a Job is over whose pod is gone', async () => {
  expect(await observed(failed, []).observe()).toMatchObject({ kind: 'stopped', cause: 'preempted' })
  expect(await observed(complete, []).observe()).toEqual({ kind: 'exited', exitCode: 0 })
})

test('pods of Jobs that go on are not asked for: the watch will tell', async () => {
  const { observe, questions } = observed(job(), [pod()])
  expect(await observe()).toEqual({ kind: 'queued' })
  expect(questions()).toBe(0)
})
