import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BatchV1Api, CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describeEnvironment } from '../../../test/conformance/environment.ts'
import { noSignal, Trial } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../../test/daemons/kubernetes.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { plugin } from '../index.ts'
import { roleRules } from '../cluster/rights.ts'
import { pilotLabel } from './body.ts'

const patienceMs = 180_000

describeWith('kubernetes-node', 'Kubernetes with pilots', () => {
  let kubernetes: Kubernetes
  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
  }, nodeTimeoutMs)
  afterAll(() => kubernetes.stop(), 60_000)

  const make = (directory: string, more: Readonly<Record<string, unknown>> = {}) => {
    const { kubeconfig, image } = kubernetes
    const pilots = { count: 2, slots: 4, time: '30 min', idleMs: 2000 }
    const options = { kubeconfig, image, stagingImage: image, stopGraceMs: 2000, pilots, ...more }
    return plugin.create('kubernetes', plugin.options.parse(options), {
      directory,
      variables: {},
      now: Date.now,
      warn: () => undefined,
    })
  }
  // A pilot costs a second or two.
  describeEnvironment('kubernetes with pilots', make, patienceMs)

  describe('pilots of Kubernetes', { timeout: 2 * patienceMs }, () => {
    let trial: Trial
    let namespace: string
    let core: CoreV1Api
    let batch: BatchV1Api
    let account: string
    beforeEach(async () => {
      const configuration = new KubeConfig()
      configuration.loadFromFile(kubernetes.kubeconfig)
      core = configuration.makeApiClient(CoreV1Api)
      batch = configuration.makeApiClient(BatchV1Api)
      namespace = await kubernetes.makeNamespace()
      account = (await kubernetes.makeAccount({ namespace, rules: roleRules })).kubeconfig
    }, 60_000)
    afterEach(async () => {
      await trial.close()
      await kubernetes.removeNamespace(namespace)
    }, 60_000)

    async function use(
      pilots: Readonly<Record<string, unknown>>,
      more: Readonly<Record<string, unknown>> = {},
    ): Promise<void> {
      const how = { count: 1, slots: 1, time: '20 min', idleMs: 2000, ...pilots }
      // No more rights than with a pod for each job.
      const options = { kubeconfig: account, namespace, pilots: how, ...more }
      trial = new Trial((directory) => make(directory, options), patienceMs)
      await trial.open()
    }

    const pods = async () => (await core.listNamespacedPod({ namespace, labelSelector: pilotLabel })).items
    const untilNothingIsLeft = () =>
      until(
        'no Job and no pod is left',
        async () => {
          const { items: jobs } = await batch.listNamespacedJob({ namespace })
          return jobs.length + (await pods()).length === 0 || undefined
        },
        undefined,
        patienceMs,
      )

    test('many jobs cost few pods, see files that come once, and leave nothing when all is over', async () => {
      await use({ count: 2, slots: 4, idleMs: 20_000 })
      writeFileSync(join(trial.workDirectory, 'table.txt'), 'a table\n')
      const library = join(trial.directory, 'library')
      writeFileSync(library, 'library\n')
      const names = new Set<string>()
      const script = 'cat table.txt lib; touch table.txt lib 2>/dev/null || echo kept; echo $N >out'
      const requests = Array.from({ length: 60 }, (_, index) =>
        trial.shell(script, {
          env: { N: String(index) },
          shared: [{ from: library, to: 'lib' }],
          outputs: [{ path: 'out' }],
        }),
      )
      const handles = await trial.submitAll(requests)
      const look = setInterval(
        () => void pods().then((found) => found.forEach((pod) => names.add(pod.metadata!.name!))),
        500,
      )
      try {
        const ends = await trial.waitForAll(handles)
        expect(ends.filter((end) => end.kind !== 'exited' || end.exitCode !== 0)).toEqual([])
        const results = await Promise.all(handles.map((handle) => trial.collect(handle)))
        for (const [index, { stdout, read }] of results.entries()) {
          expect(stdout).toBe('a table\nlibrary\nkept\n')
          expect(String(read('out'))).toBe(`${index}\n`)
        }
      } finally {
        clearInterval(look)
      }
      expect(names.size).toBeGreaterThan(0)
      expect(names.size).toBeLessThanOrEqual(2)
      await trial.environment.release(handles, noSignal)
      await untilNothingIsLeft()
      const left = readdirSync(trial.ownDirectory, { recursive: true, withFileTypes: true })
      expect(left.filter((each) => each.isFile())).toEqual([])
    })

    test('of a pilot that is deleted, what ran is told as preempted, and what waited runs in the next one', async () => {
      await use({})
      const handles = await trial.submitAll([
        trial.shell('exec sleep 600'),
        trial.shell('exit 3'),
        trial.shell('exit 4'),
      ])
      await trial.waitForRunning(handles[0]!)
      const [pod] = await pods()
      await core.deleteNamespacedPod({ namespace, name: pod!.metadata!.name! })
      const [first, ...others] = await trial.waitForAll(handles)
      expect(first).toMatchObject({
        kind: 'stopped',
        cause: expect.stringMatching(/^(preempted|node-failure)$/),
      })
      expect(others).toMatchObject([
        { kind: 'exited', exitCode: 3 },
        { kind: 'exited', exitCode: 4 },
      ])
      expect((await trial.collect(handles[0]!)).collected).toMatchObject({ files: [], missing: [] })
    })

    test('the next life of the server finds what runs, what ended and what waits; what was cancelled stays so', async () => {
      await use({ count: 1, slots: 2 })
      const request = (seconds: number) =>
        trial.shell(`sleep ${seconds}; echo ${seconds} >out; exit ${seconds}`, { outputs: [{ path: 'out' }] })
      const handles = await trial.submitAll([request(1), request(20), request(2), request(3), request(4)])
      await trial.waitForRunning(handles[1]!)
      expect(await trial.waitForEnd(handles[0]!)).toMatchObject({ exitCode: 1 })
      await trial.environment.cancel([handles[4]!], noSignal)
      await trial.environment.close()
      await trial.open()
      const found = await trial.environment.recover(
        handles.map(({ id }) => id),
        noSignal,
      )
      expect(found).toEqual(handles)
      expect(await trial.observe(handles[1]!)).toMatchObject({ kind: 'running' })
      expect(await trial.waitForAll(handles)).toMatchObject([
        { kind: 'exited', exitCode: 1 },
        { kind: 'exited', exitCode: 20 },
        { kind: 'exited', exitCode: 2 },
        { kind: 'exited', exitCode: 3 },
        { kind: 'stopped', cause: 'cancelled' },
      ])
      for (const [index, seconds] of [1, 20, 2, 3].entries())
        expect(String((await trial.collect(handles[index]!)).read('out'))).toBe(`${seconds}\n`)
      expect(await pods()).toHaveLength(1)
    })

    test('outputs that went down with their pilot are told as lost, and an image that cannot be had as such', async () => {
      await use({ idleMs: 60_000 })
      const handle = await trial.submit(trial.shell('echo 1 >out', { outputs: [{ path: 'out' }] }))
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
      const [pod] = await pods()
      await core.deleteNamespacedPod({ namespace, name: pod!.metadata!.name!, gracePeriodSeconds: 0 })
      await until('the pilot is known to be gone', async () =>
        trial.environment.collect(handle, join(trial.directory, 'gone'), noSignal).then(
          ({ lost }) => lost,
          () => undefined,
        ),
      )
      await trial.close()
      await use({}, { image: 'localhost/missing:none', imagePullPolicy: 'Never', pendingLimit: 3000 })
      const never = await trial.submit(trial.shell('true'))
      expect(await trial.waitForEnd(never)).toMatchObject({
        kind: 'stopped',
        cause: 'unknown',
        message: expect.stringContaining('ErrImageNeverPull'),
      })
    })
  })
})
