import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { readAccount } from './account.ts'
import { Enclosure, sendSignal } from './enclosure.ts'
import { claimPorts } from './ports.ts'
import { runCommand, tryCommand } from './run-command.ts'
import { startAccounting, untilListening } from './slurm-accounting.ts'
import {
  cgroupConfiguration,
  portOffsets,
  slurmConfiguration,
  type SlurmOptions,
} from './slurm-configuration.ts'

export type { SlurmOptions } from './slurm-configuration.ts'

export interface Slurm extends AsyncDisposable {
  /** With these every client command finds this cluster: SLURM_CONF. Works for root and for any other user. */
  readonly variables: Readonly<Record<string, string>>
  /** State, logs and configuration; removed by `stop`. */
  readonly directory: string
  /** Names of the nodes: n1, n2 ... */
  readonly nodes: readonly string[]
  /** Base of slurmrestd with tokens; with `restd` only. */
  readonly restUrl: string | undefined
  /** Name of its control groups, with `memoryLimit: 'cgroup'`. */
  readonly controlGroup: string
  /** A token for slurmrestd. */
  token(user: string, lifetimeSeconds?: number): Promise<string>
  /** Ends slurmctld; jobs go on. By SIGTERM it saves its state, by SIGKILL it forgets the last moments. */
  stopController(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  startController(): Promise<void>
  /** Freezes slurmctld: client commands hang. */
  pauseController(): Promise<void>
  resumeController(): Promise<void>
  /**
   * Kills slurmd of one node with all its jobs, as when its power is cut. The controller notices by itself after
   * `slurmdTimeout` and about 20 s more; when `noticed`, it is told at once that the node is down.
   */
  killNode(node: string, options?: { readonly noticed?: boolean }): Promise<void>
  startNode(node: string): Promise<void>
  /** Sends a signal to the processes of one job, as an administrator might. Tells how many there were. */
  signalJob(jobId: string, signal: NodeJS.Signals): Promise<number>
  /** The end of a log: slurmctld.log, slurmd-n1.log, slurmdbd.log ... */
  log(name: string): Promise<string>
  stop(): Promise<void>
}

/** One Slurm with pretended nodes on this machine, in a state directory of its own; partitions main, short (1 minute), down. */
export async function startSlurm(options: SlurmOptions = {}): Promise<Slurm> {
  const ports = await claimPorts()
  const cgroup = `molehill-${randomBytes(4).toString('hex')}`
  const enclosure = await Enclosure.start(
    options.memoryLimit === 'cgroup' ? { undo: removeCgroups(cgroup) } : {},
  )
  const stop = async () => {
    await enclosure.stop()
    await ports.release()
  }
  try {
    if (options.memoryLimit === 'cgroup') await giveCgroups(enclosure, cgroup)
    const parts = await startParts(enclosure, ports.first, options)
    return { ...parts, controlGroup: cgroup, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startParts(
  enclosure: Enclosure,
  firstPort: number,
  options: SlurmOptions,
): Promise<Omit<Slurm, 'controlGroup' | 'stop' | typeof Symbol.asyncDispose>> {
  const { directory } = enclosure
  const place = { directory, firstPort, hostName: hostname().split('.')[0] ?? '' }
  const variables = { SLURM_CONF: join(directory, 'slurm.conf') }
  const nodes = Array.from({ length: options.nodes ?? 4 }, (_, index) => `n${index + 1}`)
  await mkdir(join(directory, 'state'))
  await mkdir(join(directory, 'spool'))
  await writeFile(join(directory, 'munge.key'), randomBytes(128), { mode: 0o400 })
  await writeFile(join(directory, 'jwt.key'), randomBytes(32), { mode: 0o600 })
  await writeFile(join(directory, 'slurm.conf'), slurmConfiguration(place, options))
  await writeFile(join(directory, 'cgroup.conf'), cgroupConfiguration)
  await enclosure.run([
    'munged',
    '--force',
    '--num-threads=4',
    `--key-file=${directory}/munge.key`,
    `--socket=${directory}/munge.socket`,
    `--pid-file=${directory}/munged.pid`,
    `--seed-file=${directory}/munge.seed`,
    `--log-file=${directory}/munged.log`,
  ])
  if (options.accounting === true) await startAccounting(enclosure, place, variables)

  const startController = async () => {
    await enclosure.run(['slurmctld'], { variables })
    await untilListening(enclosure, firstPort + portOffsets.controller, 'slurmctld.log')
  }
  const startNode = async (node: string) => {
    await enclosure.run(['slurmd', '-N', node], { variables })
    await untilReady([node], variables, () => enclosure.readLog(`slurmd-${node}.log`))
  }
  await startController()
  await Promise.all(nodes.map((node) => enclosure.run(['slurmd', '-N', node], { variables })))
  await untilReady(nodes, variables, () => enclosure.readLog('slurmctld.log'))
  if (options.restd === true) await startRest(enclosure, firstPort, variables, options.accounting === true)

  return {
    variables,
    directory,
    nodes,
    restUrl: options.restd === true ? `http://127.0.0.1:${firstPort + portOffsets.rest}` : undefined,
    token: async (user, lifetimeSeconds = 3600) => {
      const command = ['scontrol', 'token', `username=${user}`, `lifespan=${lifetimeSeconds}`]
      return (await runCommand(command, { variables })).trim().replace(/^SLURM_JWT=/, '')
    },
    startController,
    stopController: async (signal = 'SIGTERM') => {
      await enclosure.signal(signal, 'slurmctld')
      const helper = 'slurmscriptd'
      await until(
        'slurmctld is gone',
        async () => (await enclosure.processes('slurmctld')).length === 0 || undefined,
      )
      await enclosure.signal('SIGKILL', helper)
    },
    pauseController: async () => void (await enclosure.signal('SIGSTOP', 'slurmctld')),
    resumeController: async () => void (await enclosure.signal('SIGCONT', 'slurmctld')),
    killNode: async (node, { noticed = false } = {}) => {
      const [daemons, jobs] = await Promise.all([
        processesWhere(enclosure, ({ commandLine }) => commandLine === `slurmd\0-N\0${node}\0`),
        processesWhere(enclosure, ({ environment }) => environment.includes(`SLURMD_NODENAME=${node}\0`)),
      ])
      const steps = await stepsAbove(jobs)
      for (const pid of [...daemons, ...steps, ...jobs]) sendSignal(pid, 'SIGKILL')
      const update = ['scontrol', 'update', `nodename=${node}`, 'state=down', 'reason=power']
      if (noticed) await runCommand(update, { variables })
    },
    startNode,
    signalJob: async (jobId, signal) => {
      const pids = await processesWhere(enclosure, ({ environment }) =>
        environment.includes(`\0SLURM_JOB_ID=${jobId}\0`),
      )
      for (const pid of pids) sendSignal(pid, signal)
      return pids.length
    },
    log: (name) => enclosure.readLog(name),
  }
}

async function startRest(
  enclosure: Enclosure,
  firstPort: number,
  variables: Readonly<Record<string, string>>,
  withAccounting: boolean,
): Promise<void> {
  const account = await readAccount()
  // It dies when it loads plugins of the database and there is none.
  const kinds = withAccounting ? ['openapi/v0.0.', 'openapi/dbv0.0.'] : ['openapi/v0.0.']
  const plugins = kinds.flatMap((kind) => ['38', '37', '36'].map((version) => kind + version)).join(',')
  // It refuses to run as root.
  const as = ['setpriv', '--reuid', account.user, '--regid', String(account.groupId), '--init-groups']
  const port = firstPort + portOffsets.rest
  await enclosure.launch(
    [...as, 'slurmrestd', '-a', 'rest_auth/jwt', '-s', plugins, `127.0.0.1:${port}`],
    'rest.log',
    {
      variables: { ...variables, SLURM_JWT: 'daemon' },
    },
  )
  await untilListening(enclosure, port, 'rest.log')
}

async function untilReady(
  nodes: readonly string[],
  variables: Readonly<Record<string, string>>,
  log: () => Promise<string>,
): Promise<void> {
  let seen = ''
  await until(
    `${nodes.join(', ')} are ready`,
    async () => {
      const command = [
        'sinfo',
        '-h',
        '-N',
        '-p',
        'main',
        '-n',
        nodes.join(','),
        '-t',
        'idle,mix,alloc',
        '-o',
        '%N',
      ]
      const { stdout, stderr } = await tryCommand(command, { variables, timeoutMs: 5000 })
      if (stdout.split('\n').filter((line) => line !== '').length === nodes.length) return true
      seen = `${stdout}${stderr}${await log()}`
      return undefined
    },
    () => seen,
    60_000,
  )
}

async function processesWhere(
  enclosure: Enclosure,
  matches: (process: { commandLine: string; environment: string }) => boolean,
): Promise<readonly number[]> {
  const pids = await enclosure.processes()
  const read = (pid: number, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [commandLine, environment] = await Promise.all([read(pid, 'cmdline'), read(pid, 'environ')])
      return matches({ commandLine, environment: `\0${environment}` })
    }),
  )
  return pids.filter((_, index) => found[index])
}

/** The slurmstepd processes that hold these jobs. */
async function stepsAbove(jobs: readonly number[]): Promise<readonly number[]> {
  const parents = await Promise.all(
    jobs.map(
      async (pid) =>
        /^PPid:\s*(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))?.[1],
    ),
  )
  const candidates = [...new Set(parents.filter((pid) => pid !== undefined))].map(Number)
  const names = await Promise.all(
    candidates.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')),
  )
  return candidates.filter((_, index) => names[index]?.trim() === 'slurmstepd')
}

const controllers = ['memory', 'freezer', 'cpuacct', 'cpuset']

/** Gives the enclosure a branch of each control group tree, so that several clusters with the same nodes do not meet. */
async function giveCgroups(enclosure: Enclosure, name: string): Promise<void> {
  for (const controller of controllers) {
    const tree = `/sys/fs/cgroup/${controller}`
    await mkdir(join(tree, name), { recursive: true })
    await enclosure.run(['mount', '--bind', join(tree, name), tree])
  }
}

function removeCgroups(name: string): string {
  const trees = controllers.map((controller) => `/sys/fs/cgroup/${controller}/${name}`).join(' ')
  return `find ${trees} -depth -type d -exec rmdir {} + 2>/dev/null\n`
}
