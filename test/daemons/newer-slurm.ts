import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { readAccount } from './account.ts'
import { Enclosure } from './enclosure.ts'
import { claimPorts } from './ports.ts'
import { portOffsets, slurmConfiguration } from './slurm-configuration.ts'

/** The tree that `scripts/install-services --newer-slurm` makes. */
export const newerSlurmTree = '/var/cache/molehill/slurm-trixie'

/** Slurm 24.11 of Debian 13, of which tests see slurmrestd alone: v0.0.40, 41 and 42, without accounting. */
export interface NewerSlurm extends AsyncDisposable {
  readonly restUrl: string
  /** A token of root. */
  readonly token: string
  stop(): Promise<void>
}

/** What 24.11 has no plugins for any more. */
const gone = /^(SwitchType|TaskPlugin|AccountingStorageType|JobAcctGatherParams)=/

/** Its programs, and jobs, have the tree as their root, with this machine's /tmp. */
export async function startNewerSlurm(): Promise<NewerSlurm> {
  const ports = await claimPorts()
  const enclosure = await Enclosure.start()
  const stop = async () => {
    await enclosure.stop()
    await ports.release()
  }
  try {
    const place = {
      directory: enclosure.directory,
      firstPort: ports.first,
      hostName: hostname().split('.')[0] ?? '',
    }
    const text = slurmConfiguration(place, { nodes: 2 })
      .split('\n')
      .filter((line) => !gone.test(line))
      .join('\n')
    await prepareFiles(enclosure, text)
    const url = `http://127.0.0.1:${place.firstPort + portOffsets.rest}`
    return { restUrl: url, token: await startParts(enclosure, url), stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function prepareFiles(enclosure: Enclosure, configuration: string): Promise<void> {
  const { directory } = enclosure
  for (const name of ['state', 'spool']) await mkdir(join(directory, name))
  await writeFile(join(directory, 'munge.key'), randomBytes(128), { mode: 0o400 })
  await writeFile(join(directory, 'jwt.key'), randomBytes(32), { mode: 0o600 })
  await writeFile(join(directory, 'slurm.conf'), configuration)
  await writeFile(join(directory, 'cgroup.conf'), 'CgroupPlugin=disabled\n')
  // Changes go to the enclosure's directory, so that the tree stays as it is.
  for (const name of ['changes', 'work', 'root']) await mkdir(join(directory, name))
  const layers = `lowerdir=${newerSlurmTree},upperdir=${directory}/changes,workdir=${directory}/work`
  const mounts = [
    ['-t', 'overlay', '-o', layers, 'overlay', ''],
    ['--bind', '/tmp', '/tmp'],
    ['--rbind', '/dev', '/dev'],
    ['--rbind', '/sys', '/sys'],
    ['-t', 'proc', 'proc', '/proc'],
    ['-t', 'tmpfs', 'tmpfs', '/run'],
  ]
  const root = rootOf(enclosure)
  for (const words of mounts) await enclosure.run(['mount', ...words.slice(0, -1), `${root}${words.at(-1)}`])
  await enclosure.run(['tee', join(root, 'etc/hosts')], { input: `127.0.0.1 localhost ${hostname()}\n` })
}

/** As seen from inside. */
function rootOf(enclosure: Enclosure): string {
  return join(enclosure.directory, 'root')
}

/** Gives a token. */
async function startParts(enclosure: Enclosure, url: string): Promise<string> {
  const { directory } = enclosure
  const variables = [`SLURM_CONF=${directory}/slurm.conf`, 'PATH=/usr/sbin:/usr/bin:/sbin:/bin']
  const inside = (...command: readonly string[]) => [
    'chroot',
    rootOf(enclosure),
    'env',
    ...variables,
    ...command,
  ]
  const own = (name: string) => `${directory}/munge.${name}`
  const munge = ['--force', `--key-file=${own('key')}`, `--socket=${own('socket')}`]
  const mungeFiles = [`--pid-file=${own('pid')}`, `--seed-file=${own('seed')}`, `--log-file=${own('log')}`]
  await enclosure.run(inside('munged', ...munge, ...mungeFiles))
  await enclosure.run(inside('slurmctld'))
  for (const node of ['n1', 'n2']) await enclosure.run(inside('slurmd', '-N', node))
  let seen = ''
  const sinfo = inside('sinfo', '-h', '-N', '-p', 'main', '-t', 'idle,mix,alloc', '-o', '%N')
  await until(
    'two nodes of Slurm 24.11 are ready',
    async () => {
      const { stdout, stderr } = await enclosure.try(sinfo, { timeoutMs: 5000 })
      seen = `${stdout}${stderr}`
      return stdout.split('\n').filter(Boolean).length === 2 || undefined
    },
    () => seen,
    60_000,
  )
  // It refuses to run as root.
  const { userId, groupId } = await readAccount()
  const as = ['setpriv', '--reuid', String(userId), '--regid', String(groupId), '--clear-groups']
  const daemon = ['slurmrestd', '-a', 'rest_auth/jwt', '-s', 'slurmctld', new URL(url).host]
  await enclosure.launch(inside(...as, 'env', 'SLURM_JWT=daemon', ...daemon), 'rest.log')
  const printed = await enclosure.run(inside('scontrol', 'token', 'username=root', 'lifespan=3600'))
  const token = printed.trim().replace(/^SLURM_JWT=/, '')
  const headers = { 'X-SLURM-USER-NAME': 'root', 'X-SLURM-USER-TOKEN': token }
  await until(
    'slurmrestd answers',
    async () => {
      const answer = await fetch(`${url}/slurm/v0.0.42/ping`, { headers }).catch((error: unknown) => error)
      seen = String(answer instanceof Response ? answer.status : answer)
      return (answer instanceof Response && answer.ok) || undefined
    },
    () => seen,
    60_000,
  )
  return token
}
