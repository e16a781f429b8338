import { join } from 'node:path'
import { expect, test } from 'vitest'
import { noSignal } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import { runningNow, waitingImage, type FaultScene } from './scene.fixtures.ts'
import { jobName } from '../pods/names.ts'

/** Tests of pods and Jobs that end otherwise than by themselves. */
export function testEndsOfPods(scene: FaultScene): void {
  test('jobs of a namespace that is deleted end, and nothing is kept for them', async () => {
    const { namespace } = scene
    await scene.use()
    const handles = await scene.trial.submitAll([scene.job(), scene.job(), scene.job()])
    await scene.tell(handles[0]!, runningNow())
    await scene.kubernetes.removeNamespace(namespace)
    for (const end of await scene.trial.waitForAll(handles, 120_000))
      expect(['stopped', 'lost']).toContain(end.kind)
    await scene.trial.environment.release(handles, noSignal)
    expect(scene.keptFiles()).toEqual([])
  }, 180_000)

  test('an image that cannot be pulled ends its job after a while, and its pod goes', async () => {
    await scene.use({ image: 'localhost/any:missing', pendingLimit: '2 s' })
    const handle = await scene.trial.submit(scene.job())
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringContaining('ErrImagePull: not found'),
    })
    expect((await scene.trial.collect(handle)).stdout).toBe('')
    await scene.trial.environment.release([handle], noSignal)
    await scene.untilNothingIsLeft()
    expect(scene.keptFiles()).toEqual([])
  })

  test.each([
    ['oom', { kind: 'stopped', cause: 'out-of-memory' }],
    ['evicted', { kind: 'stopped', cause: 'preempted', message: expect.stringMatching(/low on resource/) }],
    ['shutdown', { kind: 'stopped', cause: 'node-failure' }],
    ['outofcpu', { kind: 'stopped', cause: 'node-failure' }],
    ['starterror', { kind: 'stopped', cause: 'unknown', message: expect.stringMatching(/no such file/) }],
  ])('a pod that ends as %s', async (tag, end) => {
    await scene.use({ image: `localhost/any:${tag}` })
    const handle = await scene.trial.submit(scene.job())
    expect(await scene.trial.waitForEnd(handle)).toMatchObject(end)
    expect((await scene.trial.collect(handle)).collected.files).toEqual([])
    await scene.trial.environment.release([handle], noSignal)
    await scene.untilNothingIsLeft()
  })

  test('a pod that is deleted from outside is no run that goes on, and release ends the one after it', async () => {
    const { namespace } = scene
    await scene.use()
    const handle = await scene.submitRunning()
    const first = await scene.podOf(handle)
    await scene.core.deleteNamespacedPod({
      namespace,
      name: first.metadata?.name ?? '',
      gracePeriodSeconds: 0,
    })
    await until('Kubernetes has begun another one', async () =>
      (await scene.podsOf(handle)).find(({ metadata }) => metadata?.uid !== first.metadata?.uid),
    )
    await scene.trial.environment.release([handle], noSignal)
    await scene.untilNothingIsLeft()
    expect(await scene.trial.observe(handle)).toMatchObject({ kind: 'lost' })
  })

  test('a Job that is deleted from outside is lost', async () => {
    const { namespace } = scene
    await scene.use()
    const handle = await scene.submitRunning()
    const name = jobName(handle.id)
    await scene.batch.deleteNamespacedJob({ namespace, name, propagationPolicy: 'Background' })
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'lost' })
  })

  test('a field of the template that the server does not know is told of once', async () => {
    await scene.use({ template: { spec: { schedulingGates: [{ name: 'example.org/gate' }] } } })
    await scene.trial.submitAll([scene.job(), scene.job()])
    expect(scene.warnings).toHaveLength(1)
    expect(scene.warnings[0]).toMatch(/leaves them out: spec\.template\.spec\.schedulingGates/)
  })

  test('a Job of the same name that is not ours is left alone', async () => {
    const { namespace } = scene
    await scene.use()
    const request = scene.job()
    const name = jobName(request.id)
    const container = { name: 'theirs', image: waitingImage }
    const template = { spec: { restartPolicy: 'Never', containers: [container] } }
    await scene.batch.createNamespacedJob({ namespace, body: { metadata: { name }, spec: { template } } })
    expect(await scene.outcomeOf(request)).toMatchObject({
      kind: 'rejected',
      reason: expect.stringContaining(name),
    })
    expect(await scene.trial.environment.recover([request.id], noSignal)).toEqual([])
    expect(scene.keptFiles()).toEqual([])
  })

  test('what nobody recovers is deleted with its execution', async () => {
    const { namespace } = scene
    await scene.use()
    await scene.trial.submitAll([scene.job(), scene.job(), scene.job()])
    await scene.trial.environment.close()
    await scene.trial.open()
    expect(scene.keptFiles()).toHaveLength(3)
    await scene.trial.environment.discard?.(join(scene.trial.directory, 'another'), noSignal)
    expect((await scene.batch.listNamespacedJob({ namespace })).items).toHaveLength(3)
    await scene.trial.environment.discard?.(scene.trial.workDirectory, noSignal)
    await scene.untilNothingIsLeft()
    expect(scene.keptFiles()).toEqual([])
  }, 90_000)
}
