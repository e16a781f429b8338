import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeFileDurably } from '../../src/files/durable-file.ts'
import { createNamedEnvironments, type NamedEnvironments } from '../../src/store/named-environments.ts'
import { openPreferences, secretsIn } from '../../src/store/preferences.ts'
import { createSecrets } from '../../src/store/secrets.ts'
import { sshAccount } from '../conformance/ssh-account.ts'
import { startCondor } from '../daemons/condor.ts'
import type { DaemonKind } from '../daemons/absence.ts'
import { nodeTimeoutMs, startKubernetes } from '../daemons/kubernetes.ts'
import { importFunctionImage } from '../daemons/kubernetes-function-image.ts'
import { describeWith } from '../daemons/present.ts'
import { startSge } from '../daemons/sge.ts'
import { startSlurm } from '../daemons/slurm.ts'
import type { SshServer } from '../daemons/ssh-server.ts'
import { startSshd } from '../daemons/sshd.ts'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'

const workflows = join(import.meta.dirname, '../../workflows')

/** A place to run jobs, as an operator would keep it under a name. */
interface Place {
  readonly kind: string
  readonly options: Readonly<Record<string, unknown>>
  readonly secrets?: Readonly<Record<string, string>>
  readonly variables?: Readonly<Record<string, string>>
  /** Names of what the environment has put there for executions. */
  readonly leftovers?: () => Promise<readonly string[]>
}

interface Way {
  readonly name: string
  readonly needs: readonly DaemonKind[]
  /** Starts what is needed; `defer` takes what is to be done afterwards. */
  start(defer: (after: () => unknown) => void): Promise<Place>
}

const batch = { submissionsPerMinute: 60_000 }
/** As many jobs at once as the machine has use for. */
const small = { nodes: 2, cpusPerNode: 1 }

function overSsh(server: SshServer, defer: (after: () => unknown) => void) {
  const account = sshAccount(server)
  defer(() => account.remove())
  const leftovers = async () => readdir(join(server.home, '.molehill/executions')).catch(() => [])
  return { options: account.options, leftovers }
}

const ways: readonly Way[] = [
  {
    name: 'a computer behind SSH',
    needs: ['sshd'],
    async start(defer) {
      const server = await startSshd()
      defer(() => server.stop())
      const { options, leftovers } = overSsh(server, defer)
      return { kind: 'ssh', options: { ...options, slots: 2 }, leftovers }
    },
  },
  {
    name: 'Slurm by its commands',
    needs: ['slurm'],
    async start(defer) {
      const slurm = await startSlurm(small)
      defer(() => slurm.stop())
      return { kind: 'slurm', options: { ...batch, partition: 'main' }, variables: slurm.variables }
    },
  },
  {
    name: 'Slurm over SSH',
    needs: ['slurm', 'sshd'],
    async start(defer) {
      const slurm = await startSlurm(small)
      defer(() => slurm.stop())
      const server = await startSshd({ variables: slurm.variables })
      defer(() => server.stop())
      const { options, leftovers } = overSsh(server, defer)
      return { kind: 'slurm', options: { ...batch, ...options }, leftovers }
    },
  },
  {
    name: 'Slurm through slurmrestd',
    needs: ['slurmrestd'],
    async start(defer) {
      const slurm = await startSlurm({ ...small, restd: true })
      defer(() => slurm.stop())
      const rest = { url: slurm.restUrl, apiVersion: 'v0.0.38', user: 'root' }
      return { kind: 'slurm', options: { ...batch, rest }, secrets: { token: await slurm.token('root') } }
    },
  },
  {
    name: 'SGE',
    needs: ['sge'],
    async start(defer) {
      const sge = await startSge({ slots: 2 })
      defer(() => sge.stop())
      const { options, leftovers } = overSsh(sge.login, defer)
      return { kind: 'sge', options: { ...batch, ...options, queue: 'all.q' }, leftovers }
    },
  },
  {
    name: 'HTCondor',
    needs: ['condor'],
    async start(defer) {
      const condor = await startCondor()
      defer(() => condor.stop())
      const { options } = overSsh(condor.login, defer)
      return { kind: 'condor', options: { ...batch, ...options } }
    },
  },
  {
    name: 'Kubernetes',
    needs: ['kubernetes-node'],
    async start(defer) {
      const kubernetes = await startKubernetes({ node: true })
      defer(() => kubernetes.stop())
      const { kubeconfig, image: stagingImage } = kubernetes
      const image = await importFunctionImage(kubernetes)
      // One processor each: the node has two, and would take a hundred pods at once.
      const options = { kubeconfig, image, stagingImage, hasRuntime: true, cpus: 1 }
      return { kind: 'kubernetes', options }
    },
  },
]

describe('ready workflows run unchanged', () => {
  for (const way of ways) {
    describeWith(way.needs, `on ${way.name}`, () => {
      const afterwards: (() => unknown)[] = []
      let engine: TestEngine
      let place: Place

      beforeAll(async () => {
        const directory = await mkdtemp(join(tmpdir(), 'molehill-clusters-'))
        afterwards.push(() => rm(directory, { recursive: true }))
        place = await way.start((after) => afterwards.push(after))
        const variables = { ...process.env, ...place.variables }
        engine = await startTestEngine({ named: await keep(directory, place), variables })
        afterwards.push(() => engine[Symbol.asyncDispose]())
      }, nodeTimeoutMs)
      afterAll(async () => {
        for (const after of afterwards.toReversed()) await after()
      }, 60_000)

      test.each([
        ['word-count', 'words.csv', 5],
        ['forest-fire', 'medians.csv', 2143],
      ])('%s gives what it gives on one computer', { timeout: 400_000 }, async (name, result, jobs) => {
        const signal = AbortSignal.timeout(380_000)
        const id = await engine.executions.start({
          script: 'workflow.ts',
          environment: 'cluster',
          signal,
          fill: async (directory) => cp(join(workflows, name), directory, { recursive: true }),
        })
        const state = await engine.executions.ended(id, signal)
        expect(state.error).toBeUndefined()
        expect(state.counts).toMatchObject({ completed: jobs, failed: 0 })
        expect(state.environments).toMatchObject([{ name: 'cluster', done: jobs, failed: 0, running: 0 }])
        // Jobs end in any order, and so do rows come.
        const rows = async (path: string) => (await readFile(path, 'utf8')).trimEnd().split('\n').sort()
        expect(await rows(join(engine.executions.workDirectory(id), result))).toEqual(
          await rows(join(workflows, name, 'expected', result)),
        )
        if (place.leftovers !== undefined)
          await expect.poll(place.leftovers, { timeout: 30_000, interval: 200 }).toEqual([])
      })
    })
  }
})

describeWith('sshd', 'a host that is away when an execution on it is removed', () => {
  test('has no job and no file of it when it is back, after a restart, though nobody uses it again', async () => {
    const afterwards: (() => unknown)[] = []
    const patience = { timeout: 120_000, interval: 300 }
    try {
      const directory = await mkdtemp(join(tmpdir(), 'molehill-clusters-'))
      afterwards.push(() => rm(directory, { recursive: true }))
      const server = await startSshd()
      afterwards.push(() => server.stop())
      const { options, leftovers } = overSsh(server, (after) => afterwards.push(after))
      const times = { connectTimeoutMs: 2000, stopGraceMs: 1000, idleMs: 600_000 }
      const place = { kind: 'ssh', options: { ...options, ...times, slots: 1 } }
      let engine = await startTestEngine({ named: await keep(directory, place) })
      afterwards.push(() => engine[Symbol.asyncDispose]())
      const id = await engine.start({
        'workflow.ts': `
          import { commandTask } from 'molehill'
          export default commandTask('wait', { command: ['sleep', '600'] }).on('cluster')
        `,
      })
      await expect.poll(() => server.processes('sleep'), patience).toHaveLength(1)
      await server.kill()
      await engine.executions.remove(id)
      engine = await engine.restart()
      await expect.poll(() => engine.warnings.join(), patience).toContain('cannot be tidied up yet')
      expect(await server.processes('sleep')).toHaveLength(1)
      expect(await leftovers()).toHaveLength(1)
      await server.restart()
      await expect.poll(leftovers, patience).toEqual([])
      await expect.poll(() => server.processes('sleep'), patience).toEqual([])
    } finally {
      for (const after of afterwards.toReversed()) await after()
    }
  }, 400_000)
})

/** Keeps the place under the name `cluster`, as the server of a data directory does. */
async function keep(directory: string, { kind, options, secrets = {} }: Place): Promise<NamedEnvironments> {
  const preferences = await openPreferences(join(directory, 'preferences.json'), writeFileDurably)
  const named = createNamedEnvironments(preferences, createSecrets(secretsIn(preferences), 'sesame'))
  await named.keep({ name: 'cluster', kind, options }, secrets)
  return named
}
