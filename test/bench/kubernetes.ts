/**
 * What Molehill costs beside hand-written Jobs of Kubernetes: `node test/bench/kubernetes.ts [ROUNDS [JOBS [NAME]]]`.
 * Starts one Kubernetes with a real node for all; needs root and `scripts/install-services --kubernetes`. Contenders take
 * turns, each in a namespace and with an account of its own. Requests are those that the API server's audit log has of that
 * account, from its first to its last.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { BatchV1Api, KubeConfig } from '@kubernetes/client-node'
import { roleRules } from '../../environments/kubernetes/cluster/rights.ts'
import { startKubernetes, type Kubernetes } from '../daemons/kubernetes.ts'
import { packScript, startLife, TortureClient } from '../torture/server.ts'
import { treeCpuMs } from './processes.ts'

interface Account {
  readonly kubeconfig: string
  readonly namespace: string
}

/** Runs so many jobs to their end, in the directory; gives the CPU that it took itself. */
type Contender = (account: Account, count: number, directory: string) => Promise<number>

interface Figures {
  readonly wallMs: number
  readonly cpuMs: number
  readonly requests: number
}

const [rounds = '1', count = '200', only = ''] = process.argv.slice(2)
const place = mkdtempSync(join(tmpdir(), 'molehill-bench-'))
const auditLog = join(place, 'audit.log')
const noOp = ['/bin/true']
const yardstick = 'hand-written Jobs'

const contenders: Readonly<Record<string, Contender>> = {
  [yardstick]: runPlain,
  molehill: (account, jobs, directory) => runMolehill(account, jobs, directory, ''),
  'molehill, .by(20)': (account, jobs, directory) => runMolehill(account, jobs, directory, '.by(20)'),
  'molehill, one pilot': (account, jobs, directory) =>
    runMolehill(account, jobs, directory, '', { pilots: { count: 1, slots: 8, time: '1 h' } }),
}

/** Eight requests at a time, and a look a second: nothing is fetched, nothing deleted. */
async function runPlain({ kubeconfig, namespace }: Account, jobs: number): Promise<number> {
  const began = process.cpuUsage()
  const configuration = new KubeConfig()
  configuration.loadFromFile(kubeconfig)
  const batch = configuration.makeApiClient(BatchV1Api)
  const names = Array.from({ length: jobs }, (_, index) => `plain-${index}`)
  const make = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const container = { name: 'main', image: kubernetes.image, command: noOp }
      const template = {
        spec: { restartPolicy: 'Never', containers: [container], automountServiceAccountToken: false },
      }
      const body = { metadata: { name }, spec: { backoffLimit: 0, template } }
      await batch.createNamespacedJob({ namespace, body })
    }
  }
  await Promise.all(Array.from({ length: 8 }, make))
  for (;;) {
    const { items } = await batch.listNamespacedJob({ namespace })
    if (items.some(({ status }) => (status?.failed ?? 0) > 0)) throw new Error('A plain Job failed.')
    if (items.filter(({ status }) => status?.succeeded === 1).length === jobs) break
    await pause(1000)
  }
  const { user, system } = process.cpuUsage(began)
  return (user + system) / 1000
}

/** As its users have it: a server, a script, exit codes, both streams of each job, and nothing left in the cluster. */
async function runMolehill(
  account: Account,
  jobs: number,
  directory: string,
  by: string,
  more: object = {},
): Promise<number> {
  const life = await startLife(join(directory, 'data'))
  try {
    const client = new TortureClient()
    await client.login(life)
    const options = { ...account, image: kubernetes.image, stagingImage: kubernetes.image, ...more }
    const environment = { name: 'cluster', kind: 'kubernetes', options: JSON.stringify(options) }
    const { status, text } = await client.post(life, 'environments/add', environment)
    if (status !== 200) throw new Error(text)
    const began = treeCpuMs(life.pid)
    const started = await client.start(
      life,
      packScript(`
        import { commandTask, explore, integer, range } from 'molehill'
        const n = integer('n')
        const task = commandTask('task', { command: ${JSON.stringify(noOp)}, inputs: [n] })
        export default explore(range(n, { from: 1, to: ${jobs} }), task.on('cluster')${by})
      `),
    )
    const id = String(started.json['id'])
    for (;;) {
      const { json, text } = await client.state(life, id)
      if (json['state'] === 'finished' && json['completed'] === jobs) break
      if (json['state'] !== 'running') throw new Error(`It ended otherwise: ${text} ${started.text}`)
      await pause(200)
    }
    return treeCpuMs(life.pid) - began
  } finally {
    await life.end('SIGTERM')
  }
}

async function measure(run: Contender, jobs: number): Promise<Figures> {
  const namespace = await kubernetes.makeNamespace()
  const { name, kubeconfig } = await kubernetes.makeAccount({ namespace, rules: roleRules })
  const directory = mkdtempSync(join(place, 'run-'))
  const began = performance.now()
  const cpuMs = await run({ kubeconfig, namespace }, jobs, directory)
  const wallMs = performance.now() - began
  await kubernetes.removeNamespace(namespace)
  return { wallMs, cpuMs, requests: countRequests(`system:serviceaccount:${namespace}:${name}`) }
}

function countRequests(user: string): number {
  const events = readFileSync(auditLog, 'utf8')
    .split('\n')
    .filter((line) => line.includes(user))
    .map((line) => JSON.parse(line) as { auditID: string; user: { username: string } })
  return new Set(events.filter((event) => event.user.username === user).map(({ auditID }) => auditID)).size
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? NaN
}

const policy = join(place, 'policy.yaml')
writeFileSync(
  policy,
  JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'Metadata' }] }),
)
await using kubernetes: Kubernetes = await startKubernetes({
  node: true,
  apiServerArguments: [`--audit-policy-file=${policy}`, `--audit-log-path=${auditLog}`],
})
try {
  console.log(
    `${cpus().length} cores, Node ${process.versions.node}; one node, ${count} jobs of ${noOp[0]}\n`,
  )
  const all = new Map<string, Figures[]>()
  for (let round = 0; round < Number(rounds); round += 1)
    for (const [name, run] of Object.entries(contenders)) {
      if (only !== '' && name !== only) continue
      const figures = await measure(run, Number(count))
      all.set(name, [...(all.get(name) ?? []), figures])
      console.error(`${name}: ${(figures.wallMs / 1000).toFixed(1)} s (load ${loadavg()[0]?.toFixed(1)})`)
    }
  console.log('|  | wall s | wall ÷ hand-written | requests a job | its own CPU ms a job |')
  console.log('| --- | ---: | ---: | ---: | ---: |')
  const beside = all.get(yardstick) ?? []
  for (const [name, figures] of all) {
    const of = (pick: (each: Figures) => number): number => median(figures.map(pick))
    const ratio = median(figures.map(({ wallMs }, round) => wallMs / (beside[round]?.wallMs ?? NaN)))
    const cells = [
      (of(({ wallMs }) => wallMs) / 1000).toFixed(1),
      Number.isNaN(ratio) ? '–' : ratio.toFixed(2),
      (of(({ requests }) => requests) / Number(count)).toFixed(1),
      (of(({ cpuMs }) => cpuMs) / Number(count)).toFixed(1),
    ]
    console.log(`| ${name} | ${cells.join(' | ')} |`)
  }
} finally {
  rmSync(place, { recursive: true, force: true })
}
