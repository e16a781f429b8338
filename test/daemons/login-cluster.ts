import { randomBytes } from 'node:crypto'
import { until } from '../conformance/until.ts'
import { runCommand } from './run-command.ts'
import { installSessionCuts, type SessionCuts } from './session-cuts.ts'
import { startSlurm, type Slurm, type SlurmOptions } from './slurm.ts'
import { startSshd, type Sshd } from './sshd.ts'
import type { SshServerOptions } from './ssh-server.ts'

/** A Slurm whose only node, n1, is the computer that one logs in to: both see the same mounts. */
export interface LoginCluster {
  readonly slurm: Slurm
  readonly server: Sshd
  readonly cuts: SessionCuts
  /** Mounts an empty file system of this size there, which anybody may write to. */
  mountSmall(megabytes: number): Promise<SmallMount>
  stop(): Promise<void>
}

/** A small file system that the login and the node see. */
export interface SmallMount {
  readonly path: string
  /** Changes how it is mounted: `ro`, `rw`, `size=20m`. */
  remount(how: string): Promise<void>
}

/** Connections can be cut where a visitor runs sbatch, squeue, scancel, or programs that handle files. */
export async function startLoginCluster(
  options: Omit<SlurmOptions, 'nodes'> & { readonly login?: Omit<SshServerOptions, 'variables'> } = {},
): Promise<LoginCluster> {
  const { login, ...ofSlurm } = options
  const slurm = await startSlurm({ ...ofSlurm, nodes: 1 })
  let server: Sshd | undefined
  const stop = async () => {
    await server?.stop()
    await slurm.stop()
  }
  try {
    const { variables } = slurm
    const started = (server = await startSshd({ ...login, variables }))
    await moveNode(slurm, started)
    return {
      slurm,
      server: started,
      cuts: await installSessionCuts(started, ['sbatch', 'squeue', 'scancel', 'tar', 'mv', 'rm']),
      mountSmall: async (megabytes) => {
        const path = `${started.directory}/small-${randomBytes(4).toString('hex')}`
        await mustRun(started, ['mkdir', path])
        await mustRun(started, ['mount', '-t', 'tmpfs', '-o', `size=${megabytes}m,mode=777`, 'tmpfs', path])
        return { path, remount: (how) => mustRun(started, ['mount', '-o', `remount,${how}`, path]) }
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function moveNode(slurm: Slurm, server: Sshd): Promise<void> {
  const { variables } = slurm
  await slurm.killNode('n1', { noticed: true })
  const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`)
  await mustRun(server, ['env', ...settings, 'slurmd', '-N', 'n1'])
  let seen = ''
  await until(
    'the node is back',
    async () => {
      seen = await runCommand(['sinfo', '-h', '-N', '-n', 'n1', '-p', 'main', '-o', '%T'], { variables })
      return seen.trim() === 'idle' ? true : undefined
    },
    async () => `${seen}${await slurm.log('slurmd-n1.log')}`,
    60_000,
  )
}

async function mustRun(server: Sshd, command: readonly string[]): Promise<void> {
  const { code, stderr } = await server.run(command)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${stderr}`)
}
