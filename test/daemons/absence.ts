import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { accountName } from './account.ts'

/** The tree that `scripts/install-services --kubernetes` builds; the marker names the recipe of kubernetes/build.sh. */
export const kubernetesTree = '/var/cache/molehill/kubernetes-1.20.2'
const kubernetesMarker = `${kubernetesTree}/recipe-1`

/** Programs that each kind of daemon needs, besides Linux and, but for those of `unprivileged`, root with namespaces. */
const needs = {
  sshd: ['sshd', 'ssh', 'ssh-keygen', 'perl'],
  'ssh-hosts': ['sshd', 'ssh', 'ssh-keygen', 'perl', 'ip', 'nft', 'tc'],
  slurm: ['munged', 'slurmctld', 'slurmd', 'sbatch', 'scontrol'],
  accounting: [
    'munged',
    'slurmctld',
    'slurmd',
    'sbatch',
    'slurmdbd',
    'mariadbd',
    'mariadb',
    'slurm-wlm/accounting_storage_mysql.so',
  ],
  cgroup: ['munged', 'slurmctld', 'slurmd', 'sbatch', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/freezer'],
  slurmrestd: ['munged', 'slurmctld', 'slurmd', 'sbatch', 'slurmrestd', 'slurm-wlm/auth_jwt.so'],
  'newer-slurm': ['/var/cache/molehill/slurm-trixie/usr/sbin/slurmrestd'],
  torque: ['munged', 'slurmctld', 'slurmd', 'sbatch', '/var/cache/molehill/torque/usr/bin/qsub'],
  sge: ['sge_qmaster', 'sge_execd', 'qsub', 'ip', 'sshd', 'ssh-keygen', 'perl'],
  kubernetes: [kubernetesMarker, 'curl', 'openssl', 'setsid', 'pgrep'],
  'kubernetes-node': [
    kubernetesMarker,
    'curl',
    'openssl',
    'setsid',
    'pgrep',
    'flock',
    'unshare',
    'ip',
    'ldd',
  ],
  swift: ['swift-proxy-server', 'swift-object-server', 'swift-ring-builder', 'memcached'],
  boinc: ['boinc', 'boinccmd', 'setpriv'],
  condor: ['/var/cache/molehill/condor-trixie/usr/bin/condor_submit', 'ip', 'ssh-keygen', 'perl'],
} as const satisfies Record<string, readonly string[]>

export type DaemonKind = keyof typeof needs

/** A daemon that is none of those: one folder's own, which needs neither root nor namespaces. */
export interface OwnDaemon {
  /** As in `needs`: names, or absolute paths. */
  readonly programs: readonly string[]
  /** What to do where one of them is absent: `install the package task-spooler`. */
  readonly remedy: string
}

const unprivileged: ReadonlySet<DaemonKind> = new Set(['kubernetes', 'boinc'])

/** Options of `scripts/install-services` without which some daemons are not installed. */
const installOptions: Partial<Record<DaemonKind, string>> = {
  condor: ' --condor',
  swift: ' --swift',
  'newer-slurm': ' --newer-slurm',
  kubernetes: ' --kubernetes',
  'kubernetes-node': ' --kubernetes',
}

/** Why daemons of this kind cannot be started here; undefined when they can. */
export function whyAbsent(
  kind: DaemonKind | OwnDaemon,
  has: (program: string) => boolean = isThere,
): string | undefined {
  if (typeof kind !== 'string') {
    const absent = kind.programs.find((program) => !has(program))
    return absent === undefined ? undefined : `no ${absent} here: ${kind.remedy}`
  }
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`
  const isPrivileged = !unprivileged.has(kind)
  if (isPrivileged && process.getuid?.() !== 0) return 'needs root'
  const missing: string | undefined = needs[kind].find((program) => !has(program))
  if (missing === kubernetesMarker)
    return `no Kubernetes built in ${kubernetesTree}: run scripts/install-services --kubernetes`
  if (missing !== undefined)
    return `no ${missing} here: run scripts/install-services${installOptions[kind] ?? ''}`
  if (!isPrivileged) return undefined
  if (!readFileSync('/etc/passwd', 'utf8').includes(`\n${accountName}:`))
    return `no account ${accountName} here: run scripts/install-services`
  return whyNoNamespaces()
}

function isThere(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program)
  if (program.includes('/'))
    return readdirSync('/usr/lib').some((each) => existsSync(join('/usr/lib', each, program)))
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  return directories.some((each) => {
    try {
      accessSync(join(each, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

let namespaces: { why: string | undefined } | undefined

/** Asks the kernel once: containers often forbid namespaces, or know no virtual network devices. */
function whyNoNamespaces(): string | undefined {
  namespaces ??= { why: askForNamespaces() }
  return namespaces.why
}

function askForNamespaces(): string | undefined {
  const trial = 'mount -t tmpfs tmpfs /run && ip link add one type veth peer name two'
  const { status, stderr, error } = spawnSync(
    'unshare',
    ['--mount', '--pid', '--fork', '--net', '--uts', 'sh', '-c', trial],
    { encoding: 'utf8' },
  )
  if (status === 0) return undefined
  return `no namespaces here: ${(error?.message ?? stderr).trim()}`
}
