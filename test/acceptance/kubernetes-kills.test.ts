import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { BatchV1Api, CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../daemons/kubernetes.ts'
import { describeWith } from '../daemons/present.ts'
import { packScript, startLife, TortureClient, type Life } from '../torture/server.ts'

const samples = 100
const patienceMs = 600_000
/** Enough that pods always wait and run, few enough for a node with two processors. */
const atOnce = 12

/** Each job writes a file and a number, and lines on the node that tell when it ran, whatever becomes of its pod. */
const workflow = `
  import { commandTask, copyFile, csv, explore, file, integer, keepFile, range, readStdout, shell, text } from 'molehill'
  const n = integer('n'), square = integer('square'), result = file('result')
  const command = shell\`echo \${n} >>/runs/begun; sleep 1; echo sample \${n} >result.txt; expr \${n} '*' \${n}\`
  const task = commandTask('square', { command, inputs: [n], outputs: [readStdout(square), keepFile(result, 'result.txt')] })
  const rows = csv('squares.csv', { values: [n, square] })
  export default explore(range(n, { from: 1, to: ${samples} }),
    task.on('cluster').hook(rows).hook(copyFile(result, text\`results/\${n}.txt\`)))
`

/** What `/state` tells. */
interface Told {
  readonly state: string
  readonly ready: number
  readonly running: number
  readonly completed: number
  readonly failed: number
  readonly environments: readonly Counts[]
}

interface Counts {
  readonly name: string
  readonly ready: number
  readonly submitted: number
  readonly running: number
  readonly done: number
  readonly failed: number
}

/** What was seen of the execution while all around it was killed. */
interface Watch {
  /** How often each completed sample had begun when its completion was first seen. */
  readonly begunAtEnd: Map<number, number>
  readonly faults: string[]
  state: string
  completed: number
  polls: number
}

describeWith('kubernetes-node', 'a server, its cluster and the node of that', () => {
  let kubernetes: Kubernetes
  let directory: string
  let life: Life | undefined
  const client = new TortureClient()

  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
  }, nodeTimeoutMs)
  afterAll(() => kubernetes.stop(), 60_000)
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-kills-'))
  })
  afterEach(async () => {
    await life?.end('SIGTERM')
    await rm(directory, { recursive: true, force: true })
  }, 60_000)

  const serve = async (): Promise<Life> => (life = await startLife(join(directory, 'data')))
  /** From its beginning on, questions that are not answered are no faults. */
  const die = async (): Promise<void> => {
    const dying = life
    life = undefined
    await dying?.end('SIGKILL')
  }

  /** A directory of the node that every job writes to, by name. */
  function runsIn(namespace: string): string {
    const path = join(kubernetes.directory, `runs-${namespace}`)
    mkdirSync(path, { recursive: true })
    return path
  }

  async function start(namespace: string): Promise<string> {
    const { kubeconfig, image } = kubernetes
    const volume = { name: 'runs', hostPath: { path: runsIn(namespace) } }
    const main = { name: 'main', volumeMounts: [{ name: 'runs', mountPath: '/runs' }] }
    const template = { spec: { volumes: [volume], containers: [main] } }
    const own = {
      kubeconfig,
      namespace,
      image,
      stagingImage: image,
      template,
      maxActiveJobs: atOnce,
      pendingLimit: '20 s',
    }
    await client.login(await serve())
    const environment = { name: 'cluster', kind: 'kubernetes', options: JSON.stringify(own) }
    expect(await client.post(life!, 'environments/add', environment)).toMatchObject({ status: 200 })
    const started = await client.start(life!, packScript(workflow))
    expect(started.status, started.text).toBe(200)
    return String(started.json['id'])
  }

  const begun = (namespace: string) => countLines(join(runsIn(namespace), 'begun'))

  /** Looks at the counts and the jobs as they are told now, and keeps what is not as it should be. */
  async function look(asked: Life, id: string, namespace: string, watch: Watch): Promise<void> {
    const { json } = await client.state(asked, id)
    const told = json as unknown as Told
    const jobs = await client.post(asked, 'jobs', { id, state: 'completed', limit: '1000' })
    const times = begun(namespace)
    for (const { ticket } of (jobs.json as unknown as { jobs: { ticket: string }[] }).jobs) {
      const sample = Number(ticket) + 1
      if (!watch.begunAtEnd.has(sample)) watch.begunAtEnd.set(sample, times.get(sample) ?? 0)
    }
    watch.polls += 1
    const isWhole = told.ready + told.running + told.completed === samples && told.failed === 0
    const cluster = told.environments.find(({ name }) => name === 'cluster')
    const { ready = 0, submitted = 0, running = 0, done = 0 } = cluster ?? {}
    const isRight = ready + submitted + running + done === samples && done === told.completed
    const hasGoneBack = told.completed < watch.completed
    if (!isWhole || !isRight || hasGoneBack) watch.faults.push(JSON.stringify(json))
    watch.completed = told.completed
    watch.state = told.state
  }

  /** Looks again and again until it is over, also through the deaths of servers. */
  async function lookOn(id: string, namespace: string, watch: Watch): Promise<void> {
    while (watch.state === 'running') {
      const asked = life
      if (asked !== undefined)
        await look(asked, id, namespace, watch).catch((error: unknown) => {
          if (life === asked) watch.faults.push(String(error))
        })
      await pause(200)
    }
  }

  const kills: readonly { readonly what: string; readonly kill: () => Promise<unknown> }[] = [
    { what: 'the API server', kill: () => kubernetes.killApiServer() },
    { what: 'Molehill', kill: () => die().then(serve) },
    { what: 'the node', kill: () => kubernetes.stopNode().then(() => kubernetes.startNode()) },
    {
      what: 'Molehill while the API server is away',
      kill: async () => {
        await kubernetes.stopApiServer()
        await die()
        await serve()
        await kubernetes.startApiServer()
      },
    },
    {
      what: 'the node while Molehill is away',
      kill: async () => {
        await die()
        await kubernetes.stopNode()
        await kubernetes.startNode()
        await serve()
      },
    },
    { what: 'the API server again', kill: () => kubernetes.killApiServer() },
    { what: 'Molehill again', kill: () => die().then(serve) },
  ]

  test(
    'are killed in turn, and no job is lost or run again that had ended',
    { timeout: 1_500_000 },
    async () => {
      const namespace = await kubernetes.makeNamespace()
      const id = await start(namespace)
      const watch: Watch = { begunAtEnd: new Map(), faults: [], state: 'running', completed: 0, polls: 0 }
      const watching = lookOn(id, namespace, watch)
      const seen = () => JSON.stringify({ ...watch, log: life?.log().slice(-2000) })
      for (const [index, { what, kill }] of kills.entries()) {
        const enough = Math.floor(((index + 0.5) * samples) / kills.length)
        await until(
          `${enough} jobs are completed, before the end of ${what}`,
          () => {
            if (watch.state === 'failed') throw new Error(`it failed before the end of ${what}: ${seen()}`)
            return watch.completed >= enough || undefined
          },
          seen,
          patienceMs,
        )
        await kill()
      }
      await until('it has ended', () => watch.state !== 'running' || undefined, seen, patienceMs)
      await watching
      await look(life!, id, namespace, watch)

      expect(watch.faults).toEqual([])
      expect(watch).toMatchObject({ state: 'finished', completed: samples })
      const work = join(directory, 'data/executions', id, 'work')
      const all = Array.from({ length: samples }, (_, index) => index + 1)
      const [head, ...rows] = readFileSync(join(work, 'squares.csv'), 'utf8').trimEnd().split('\n')
      expect(head).toBe('n,square')
      expect(rows.toSorted()).toEqual(all.map((n) => `${n},${n * n}`).toSorted())
      for (const n of all) expect(readFileSync(join(work, `results/${n}.txt`), 'utf8')).toBe(`sample ${n}\n`)

      const again = [...watch.begunAtEnd].filter(([sample, times]) => begun(namespace).get(sample) !== times)
      expect(again).toEqual([])
      await untilNothingIsLeft(kubernetes, namespace)
    },
  )
})

async function untilNothingIsLeft(kubernetes: Kubernetes, namespace: string): Promise<void> {
  const configuration = new KubeConfig()
  configuration.loadFromFile(kubernetes.kubeconfig)
  const core = configuration.makeApiClient(CoreV1Api)
  const batch = configuration.makeApiClient(BatchV1Api)
  let left: readonly unknown[] = []
  await until(
    'no Job and no pod is left',
    async () => {
      const { items: jobs } = await batch.listNamespacedJob({ namespace })
      const { items: pods } = await core.listNamespacedPod({ namespace })
      left = [...jobs, ...pods].map(({ metadata }) => metadata?.name)
      return left.length === 0 || undefined
    },
    () => left,
    120_000,
  )
}

function countLines(path: string): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  if (!existsSync(path)) return counts
  for (const line of readFileSync(path, 'utf8').split('\n').filter(Boolean))
    counts.set(Number(line), (counts.get(Number(line)) ?? 0) + 1)
  return counts
}
