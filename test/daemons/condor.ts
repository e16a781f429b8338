import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { readAccount } from './account.ts'
import type { Enclosure } from './enclosure.ts'
import { startHost } from './host.ts'
import type { SshServer, SshServerOptions } from './ssh-server.ts'
import type { WireFaults } from './wire.ts'

export interface Condor extends AsyncDisposable {
  /** Before a client command: runs it where the pool is, as `molehill-test` (root may not submit), working directory `/`. */
  readonly prefix: readonly string[]
  /** The same host over SSH, for the same user. */
  readonly login: SshServer
  /** What may go wrong between the test and the login node. */
  readonly faults: WireFaults
  /** The user's home, and the files of the root that changed. */
  readonly directory: string
  /**
   * In the pool, files of a directory out here are the account's where they are root's here, and the other way round: as
   * if the tests, which root runs, were run by the one who submits.
   */
  lend(directory: string): Promise<void>
  /** Adds lines to the pool's configuration; the last one that sets a name counts. */
  configure(lines: readonly string[]): Promise<void>
  /** Kills the daemon that keeps the queue; the master starts it again after some seconds. */
  killSchedd(): Promise<void>
  /** Kills all daemons of the pool at once; what a job runs may live on without them. */
  kill(): Promise<void>
  /** Starts the pool again; it reads its queue from disk. */
  restart(): Promise<void>
  /** Processes of the pool by their numbers out here; `name` as in /proc/PID/comm. */
  processes(name?: string): Promise<readonly number[]>
  /** The end of a log of /var/log/condor: MasterLog, SchedLog, StartLog ... */
  log(name: string): Promise<string>
  stop(): Promise<void>
}

/** The tree that `scripts/install-services --condor` makes. */
export const condorTree = '/var/cache/molehill/condor-trixie'

/** HTCondor with one host, in a network and a root of its own. It shares this machine's /tmp. */
export async function startCondor(options: SshServerOptions = {}): Promise<Condor> {
  const account = await readAccount()
  const asUser = ['setpriv', '--reuid', account.user, '--regid', String(account.groupId), '--init-groups']
  const { enclosure, daemon, faults } = await startHost('condor', {
    ...options,
    sharesFiles: true,
    prepare: takeRoot,
  })
  const stop = () => enclosure.stop()
  const start = async () => {
    await enclosure.run(['condor_master'])
    await untilReady(enclosure)
  }
  try {
    await start()
    return {
      prefix: [...enclosure.prefix, ...asUser, 'env', `HOME=${daemon.server.home}`, `USER=${account.user}`],
      login: daemon.server,
      faults,
      directory: enclosure.directory,
      lend: async (directory) => {
        const swapped = [`u:0:${account.userId}:1`, `u:${account.userId}:0:1`]
        const groups = [`g:0:${account.groupId}:1`, `g:${account.groupId}:0:1`]
        const how = `bind,X-mount.idmap=${[...swapped, ...groups].join(' ')}`
        await enclosure.run(['mount', '-o', how, directory, directory])
      },
      configure: async (lines) => {
        const script = 'cat >>/etc/condor/config.d/99-test && condor_reconfig'
        await enclosure.run(['sh', '-c', script], { input: `${lines.join('\n')}\n` })
      },
      killSchedd: () => enclosure.kill('condor_schedd'),
      kill: () => kill(enclosure),
      restart: async () => {
        await kill(enclosure)
        await start()
      },
      processes: (name) => enclosure.processes(name),
      log: async (name) => (await enclosure.try(['tail', '-n', '40', `/var/log/condor/${name}`])).stdout,
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function takeRoot(enclosure: Enclosure): Promise<void> {
  const { user } = await readAccount()
  const line = async (file: string) =>
    (await readFile(file, 'utf8')).split('\n').find((each) => each.startsWith(`${user}:`)) ?? ''
  await enclosure.run([
    'bash',
    join(import.meta.dirname, 'condor-root.sh'),
    condorTree,
    enclosure.directory,
    join(import.meta.dirname, 'condor.conf'),
    await line('/etc/passwd'),
    await line('/etc/group'),
  ])
}

async function kill(enclosure: Enclosure): Promise<void> {
  // the master first, or it starts the others again; then who would kill the jobs of a starter that is gone
  const names = [
    'master',
    'startd',
    'shadow',
    'starter',
    'schedd',
    'negotiator',
    'collector',
    'procd',
    'shared_port',
  ]
  for (const name of names) await enclosure.kill(`condor_${name}`)
}

/** Until the slot is known and the queue answers. */
async function untilReady(enclosure: Enclosure): Promise<void> {
  let seen = ''
  await until(
    'HTCondor answers',
    async () => {
      const slots = await enclosure.try(['condor_status', '-af', 'Name'], { timeoutMs: 5000 })
      const queue = await enclosure.try(['condor_q'], { timeoutMs: 5000 })
      seen = `${slots.stdout}${slots.stderr}${queue.stderr}`
      return (slots.stdout.trim() !== '' && queue.code === 0) || undefined
    },
    () => seen,
    90_000,
  )
}
