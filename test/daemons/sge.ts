import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import type { Enclosure } from './enclosure.ts'
import { startHost } from './host.ts'
import type { SshServer, SshServerOptions } from './ssh-server.ts'
import type { WireFaults } from './wire.ts'

export interface SgeOptions extends SshServerOptions {
  /** How many jobs may run at once. Default 16. */
  readonly slots?: number
}

export interface Sge extends AsyncDisposable {
  /** Before a client command, as root: runs it where the cluster is. Its working directory is `/`. */
  readonly prefix: readonly string[]
  /** The same host over SSH, for the user `molehill-test`: client commands find the cluster there. */
  readonly login: SshServer
  /** What may go wrong between the test and the login node. */
  readonly faults: WireFaults
  /** Logs and homes. */
  readonly directory: string
  /** Ends the master; jobs go on. */
  stopMaster(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  startMaster(): Promise<void>
  /** Freezes the master: client commands hang. */
  pauseMaster(): Promise<void>
  resumeMaster(): Promise<void>
  /** Processes of the cluster by their numbers out here; `name` as in /proc/PID/comm. */
  processes(name?: string): Promise<readonly number[]>
  /** What master and execution daemon wrote. */
  log(): Promise<string>
  stop(): Promise<void>
}

const variables = { SGE_ROOT: '/var/lib/gridengine', SGE_CELL: 'default' }

/**
 * SGE with one host, a queue `all.q` and a parallel environment `smp`, in a network of its own because its ports are fixed.
 * It shares this machine's /tmp.
 */
export async function startSge(options: SgeOptions = {}): Promise<Sge> {
  const { slots = 16, ...server } = options
  const { enclosure, daemon, faults } = await startHost('sge', {
    ...server,
    variables: { ...server.variables, ...variables },
    sharesFiles: true,
  })
  const stop = () => enclosure.stop()
  try {
    const setUp = (what: 'files' | 'configure') =>
      enclosure.run(['bash', join(import.meta.dirname, 'sge.sh'), what, enclosure.directory, String(slots)])
    await setUp('files')
    await startMaster(enclosure)
    await Promise.all([enclosure.run(['sge_execd'], { variables }), setUp('configure')])
    await untilReady(enclosure)
    return {
      prefix: [...enclosure.prefix, 'env', ...Object.entries(variables).map((pair) => pair.join('='))],
      login: daemon.server,
      faults,
      directory: enclosure.directory,
      startMaster: () => startMaster(enclosure),
      stopMaster: async (signal = 'SIGTERM') => {
        await enclosure.signal(signal, 'sge_qmaster')
        const isGone = async () => (await enclosure.processes('sge_qmaster')).length === 0 || undefined
        await until('sge_qmaster is gone', isGone, () => 'still there', 30_000)
      },
      pauseMaster: async () => void (await enclosure.signal('SIGSTOP', 'sge_qmaster')),
      resumeMaster: async () => void (await enclosure.signal('SIGCONT', 'sge_qmaster')),
      processes: (name) => enclosure.processes(name),
      log: () => readMessages(enclosure),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startMaster(enclosure: Enclosure): Promise<void> {
  await enclosure.run(['sge_qmaster'], { variables })
  let seen = ''
  await until(
    'sge_qmaster answers',
    async () => {
      const { code, stderr } = await enclosure.try(['qconf', '-sh'], { variables, timeoutMs: 5000 })
      seen = stderr
      return code === 0 || undefined
    },
    () => seen,
    60_000,
  )
}

/** Until the execution host has told its load, since no job starts before. */
async function untilReady(enclosure: Enclosure): Promise<void> {
  let seen = ''
  await until(
    'the execution host reports',
    async () => {
      const { stdout } = await enclosure.try(['qstat', '-f'], { variables, timeoutMs: 5000 })
      // all.q@sge  BIP  0/0/16  0.52  lx-amd64, with states such as "au" behind as long as it is unknown
      if (/^all\.q@\S+ +BIP +\S+ +[\d.]+ +\S+ *$/m.test(stdout)) return true
      seen = `${stdout}${await readMessages(enclosure)}`
      return undefined
    },
    () => seen,
    60_000,
  )
}

async function readMessages(enclosure: Enclosure): Promise<string> {
  const script = 'tail -n 20 /var/spool/gridengine/qmaster/messages /var/spool/gridengine/execd/*/messages'
  return (await enclosure.try(['sh', '-c', script])).stdout
}
