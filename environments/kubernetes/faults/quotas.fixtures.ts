import { expect, test } from 'vitest'
import { noSignal } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import type { FaultScene } from './scene.fixtures.ts'
import { roleRules } from '../cluster/rights.ts'

/** Tests of jobs that the cluster has no room for, or none yet. */
export function testQuotas(scene: FaultScene): void {
  test('resources that no node has leave a job waiting, with the reason', async () => {
    await scene.use()
    const handle = await scene.trial.submit(scene.job({ resources: { cpus: 1000 } }))
    await until('the reason is told', async () => {
      const observation = await scene.trial.observe(handle)
      expect(observation.kind).toBe('queued')
      return 'reason' in observation && /Insufficient cpu/.test(observation.reason ?? '') ? true : undefined
    })
    await scene.trial.environment.cancel([handle], noSignal)
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  })

  test('a quota of Jobs defers those above it, until there is room', async () => {
    await scene.setQuota({ 'count/jobs.batch': '1' })
    await scene.use()
    const first = await scene.trial.submit(scene.job())
    const request = scene.job()
    expect(await scene.outcomeOf(request)).toMatchObject({
      kind: 'deferred',
      reason: expect.stringContaining('exceeded quota'),
    })
    expect(scene.keptFiles()).toEqual([first.id])
    await scene.trial.environment.release([first], noSignal)
    const accepted = await until(
      'there is room',
      async () => ((await scene.outcomeOf(request))?.kind === 'accepted' ? true : undefined),
      undefined,
      60_000,
    )
    expect(accepted).toBe(true)
  }, 90_000)

  test('a quota of pods leaves a job waiting, in the words of Kubernetes', async () => {
    await scene.setQuota({ pods: '0' })
    await scene.use({ pendingLimit: '1 s' })
    const handle = await scene.trial.submit(scene.job())
    await until(
      'the reason is told',
      async () => {
        const observation = await scene.trial.observe(handle)
        expect(observation.kind).toBe('queued')
        return 'reason' in observation && /exceeded quota/.test(observation.reason ?? '') ? true : undefined
      },
      undefined,
      60_000,
    )
    await scene.removeQuota()
    await until('it has a pod', async () => (await scene.podsOf(handle))[0], undefined, 60_000)
  }, 150_000)

  test('jobs are observed where events may not be seen', async () => {
    const { namespace } = scene
    const rules = roleRules.filter(({ resources }) => resources?.[0] !== 'events')
    const account = await scene.kubernetes.makeAccount({ namespace, rules })
    await scene.setQuota({ pods: '0' })
    await scene.use({ kubeconfig: account.kubeconfig })
    const handle = await scene.trial.submit(scene.job())
    await until('it is told why nothing is told', async () => {
      expect(await scene.trial.observe(handle)).toEqual({ kind: 'queued' })
      return scene.warnings.find((warning) => /events/.test(warning))
    })
    expect(scene.warnings.filter((warning) => /events/.test(warning))).toHaveLength(1)
  })
}
