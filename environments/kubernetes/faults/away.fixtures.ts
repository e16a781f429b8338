import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import { noSignal } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import { mainStatus, runningNow, type FaultScene } from './scene.fixtures.ts'
import { jobName } from '../pods/names.ts'

/** Tests of an API server that is away, hangs or forgets. */
export function testAbsence(scene: FaultScene): void {
  test('an API server that is killed while jobs are submitted makes none twice and loses none', async () => {
    const { namespace } = scene
    await scene.use()
    const requests = Array.from({ length: 30 }, () => scene.job())
    let open = requests
    const submitting = scene.trial.environment.submit(open, noSignal).catch((error: unknown) => error)
    await scene.kubernetes.killApiServer()
    const outcome = await submitting
    expect(outcome instanceof Map || outcome instanceof EnvironmentError).toBe(true)
    await scene.kubernetes.untilReady()
    await until(
      'all are accepted',
      async () => {
        const found = await scene.trial.environment
          .recover(
            open.map(({ id }) => id),
            noSignal,
          )
          .catch(() => [])
        open = open.filter(({ id }) => !found.some((handle) => handle.id === id))
        const outcomes = await scene.trial.environment.submit(open, noSignal).catch(() => new Map())
        open = open.filter(({ id }) => outcomes.get(id)?.kind !== 'accepted')
        return open.length === 0 || undefined
      },
      () => open.length,
      90_000,
    )
    const { items } = await scene.batch.listNamespacedJob({ namespace })
    expect(items).toHaveLength(requests.length)
    expect(new Set(items.map(({ metadata }) => metadata?.name))).toEqual(
      new Set(requests.map(({ id }) => jobName(id))),
    )
    const handles = await scene.trial.environment.recover(
      requests.map(({ id }) => id),
      noSignal,
    )
    expect(handles).toHaveLength(30)
    await scene.trial.environment.release(handles, noSignal)
  }, 180_000)

  test('jobs end while the API server is away, and are told of after', async () => {
    await scene.use()
    const handle = await scene.submitRunning()
    await scene.kubernetes.stopApiServer()
    try {
      await until('that is noticed', async () => {
        const asked = await scene.trial.observe(handle).catch((error: unknown) => error)
        return asked instanceof EnvironmentError || undefined
      })
    } finally {
      await scene.kubernetes.startApiServer()
    }
    await scene.tell(
      handle,
      mainStatus({ terminated: { exitCode: 5, reason: 'Error', finishedAt: new Date() } }),
    )
    await until(
      'its end is told',
      async () => {
        const observation = await scene.trial.observe(handle).catch(() => undefined)
        return observation?.kind === 'exited' ? true : undefined
      },
      undefined,
      90_000,
    )
  }, 180_000)

  test('an API server that is killed at the release leaves nothing behind in the end', async () => {
    await scene.use()
    const handles = await scene.trial.submitAll(Array.from({ length: 10 }, () => scene.job()))
    const releasing = scene.trial.environment.release(handles, noSignal).catch((error: unknown) => error)
    await scene.kubernetes.killApiServer()
    const failure = await releasing
    expect(failure === undefined || failure instanceof EnvironmentError).toBe(true)
    await scene.kubernetes.untilReady()
    await until('they are released', () =>
      scene.trial.environment.release(handles, noSignal).then(
        () => true,
        () => undefined,
      ),
    )
    await scene.untilNothingIsLeft()
    expect(scene.keptFiles()).toEqual([])
  }, 180_000)

  test('an API server that hangs for a while is waited for', async () => {
    await scene.use()
    const handle = await scene.submitRunning()
    await scene.kubernetes.pauseApiServer()
    const submitting = scene.outcomeOf(scene.job())
    submitting.catch(() => undefined)
    try {
      expect(await scene.trial.observe(handle)).toMatchObject({ kind: 'running' })
      await pause(1500)
    } finally {
      await scene.kubernetes.resumeApiServer()
    }
    expect(await submitting).toMatchObject({ kind: 'accepted' })
    expect(await scene.trial.observe(handle)).toMatchObject({ kind: 'running' })
  }, 90_000)

  test('calls to an API server that hangs can be aborted, and the environment closed', async () => {
    await scene.use()
    const handle = await scene.submitRunning()
    await scene.kubernetes.pauseApiServer()
    try {
      const stop = new AbortController()
      const calls = [
        scene.trial.environment.submit([scene.job()], stop.signal),
        scene.trial.environment.cancel([handle], stop.signal),
        scene.trial.environment.collect(handle, join(scene.trial.directory, 'outputs'), stop.signal),
        scene.trial.environment.check(stop.signal),
      ]
      const ends = Promise.allSettled(calls)
      stop.abort(new Error('enough'))
      for (const end of await ends)
        expect(end).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
      await scene.trial.environment.close()
    } finally {
      await scene.kubernetes.resumeApiServer()
    }
    await scene.trial.open()
    await scene.trial.environment.release([handle], noSignal)
  }, 90_000)
}

/** Tests of watches that end and versions that are forgotten all the time. */
export function testExpiredWatches(scene: FaultScene): void {
  test('the ends of 20 jobs are told of, each once they are there', async () => {
    await scene.use()
    const handles = await scene.trial.submitAll(Array.from({ length: 20 }, () => scene.job()))
    const told = new Set<string>()
    scene.trial.environment.watch?.((ids) => ids.forEach((id) => told.add(id)), noSignal)
    for (const [number, handle] of handles.entries()) {
      await scene.tell(handle, runningNow())
      const end = { exitCode: number, reason: 'Error', finishedAt: new Date() }
      await pause(700)
      told.delete(handle.id)
      await scene.tell(handle, mainStatus({ terminated: end }))
      await until(
        `the end of job ${number} is told`,
        async () => {
          if (!told.has(handle.id)) return undefined
          const observation = await scene.trial.observe(handle)
          return observation.kind === 'exited' && observation.exitCode === number ? true : undefined
        },
        () => [...told],
        40_000,
      )
    }
    expect(existsSync(scene.trial.ownDirectory)).toBe(true)
  }, 300_000)
}
