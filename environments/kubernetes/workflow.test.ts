import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BatchV1Api, KubeConfig } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startTestEngine, type TestEngine } from '../../test/helpers/engine.ts'
import { roleRules } from './cluster/rights.ts'

const patience = { timeout: 120_000, interval: 500 }

describeWith('kubernetes-node', 'a workflow on a cluster', () => {
  let kubernetes: Kubernetes
  let namespace: string
  let home: string
  let engine: TestEngine

  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
    namespace = await kubernetes.makeNamespace()
    const { kubeconfig } = await kubernetes.makeAccount({ namespace, rules: roleRules })
    home = mkdtempSync(join(tmpdir(), 'molehill-test-home-'))
    mkdirSync(join(home, '.kube'))
    copyFileSync(kubeconfig, join(home, '.kube/config'))
    engine = await startTestEngine({ variables: { ...process.env, HOME: home } })
  }, nodeTimeoutMs)
  afterAll(async () => {
    await engine[Symbol.asyncDispose]()
    rmSync(home, { recursive: true })
    await kubernetes.stop()
  }, 120_000)

  const start = (body: string, more = '') =>
    engine.start({
      'base.txt': 'base\n',
      'workflow.ts': `
        import { commandTask, explore, file, integer, keepFile, kubernetes, range, readStdout, shell } from 'molehill'
        const x = integer('x'), y = integer('y'), kept = file('kept')
        const cluster = kubernetes({ image: '${kubernetes.image}', stagingImage: '${kubernetes.image}', stopGraceMs: 1000 ${more} })
        ${body}
      `,
    })

  /** How many Jobs there are, or have been and are being deleted. */
  async function jobsMade(): Promise<number> {
    const configuration = new KubeConfig()
    configuration.loadFromFile(kubernetes.kubeconfig)
    const batch = configuration.makeApiClient(BatchV1Api)
    return (await batch.listNamespacedJob({ namespace })).items.length
  }

  test(
    'runs several jobs in one pod where they are grouped, with files and results',
    { timeout: 300_000 },
    async () => {
      const id = await start(`
      const command = shell\`cat base.txt >kept.txt; echo \${x} >>kept.txt; [ \${x} != 5 ] && expr 2 '*' \${x}\`
      const task = commandTask('double', { command, outputs: [readStdout(y), keepFile(kept, 'kept.txt')] })
      export default explore(range(x, { from: 1, to: 10 }), task.on(cluster).by(4).tolerate({ share: 0.5 }))
    `)
      const state = await engine.executions.ended(id, AbortSignal.timeout(240_000))
      expect(state).toMatchObject({ state: 'finished', counts: { completed: 9, failed: 1 } })
      // Three pods for ten jobs: one of them held the one that failed.
      expect(state.environments[0]).toMatchObject({ done: 2, failed: 1 })
      const { jobs } = engine.executions.jobs(id, { limit: 100 })
      expect(jobs.filter((job) => job.state === 'failed').map(({ exitCode }) => exitCode)).toEqual([1])
      const output = (await engine.executions.output(id))
        .trim()
        .split('\n')
        .map(Number)
        .toSorted((a, b) => a - b)
      expect(output).toEqual([2, 4, 6, 8, 12, 14, 16, 18, 20])
      await expect.poll(jobsMade, patience).toBe(0)
    },
  )

  test('shows what a job prints while it runs', { timeout: 300_000 }, async () => {
    const id = await start(`
      export default commandTask('slow', { command: shell\`echo begun; echo trouble >&2; sleep 600\` }).on(cluster)
    `)
    await expect
      .poll(
        async () =>
          (await engine.executions.printing(id)).map(({ subject, text }) => [
            subject,
            text.split('\n').toSorted(),
          ]),
        patience,
      )
      .toEqual([['slow', ['', 'begun', 'trouble']]])
    await engine.executions.cancel(id)
    await expect.poll(jobsMade, patience).toBe(0)
  })

  test('tells why no node takes a job', { timeout: 300_000 }, async () => {
    const id = await start(
      `export default commandTask('huge', { command: ['true'] }).on(cluster)`,
      ', cpus: 900',
    )
    const reason = (job?: number) => engine.executions.explain(id, job)[0]?.reason
    await expect
      .poll(() => reason(), patience)
      .toMatch(/^1 not started yet on kubernetes[^:]*: .*Insufficient cpu/)
    expect(reason(1)).toMatch(/has not started it yet: 0\/1 nodes are available/)
    await engine.executions.cancel(id)
  })
})
