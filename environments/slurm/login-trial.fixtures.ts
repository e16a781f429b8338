import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expect } from 'vitest'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../src/environment/environment.ts'
import type { PluginContext } from '../../src/environment/plugin.ts'
import type { SshAccount } from '../../test/conformance/ssh-account.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import type { LoginCluster } from '../../test/daemons/login-cluster.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { plugin } from './index.ts'
import { messageOf } from '../../src/problem.ts'

export const patienceMs = 60_000

/** Where a trial runs. */
export interface LoginTrialPlace {
  readonly cluster: LoginCluster
  readonly account: SshAccount
  /** Of the server. */
  readonly variables: PluginContext['variables']
}

export type LoginTrialOptions = Readonly<Record<string, unknown>> & { readonly workDirectory?: string }

/** An environment of a Slurm behind SSH, whose jobs say that they run. */
export class LoginTrial extends Trial {
  /** The environment's work directory there. */
  readonly base: string
  readonly warnings: string[]
  /** Jobs may wait until this file is there. */
  readonly gate: string
  readonly #cluster: LoginCluster
  readonly #mark: string

  private constructor({ cluster, account, variables }: LoginTrialPlace, options: LoginTrialOptions) {
    const warnings: string[] = []
    super((directory) => {
      const how = { submissionsPerMinute: 60_000, stopGraceMs: 1000, partition: 'main', memory: '20 MB' }
      const times = { keepAliveMs: 1000, connectTimeoutMs: 10_000 }
      const place = { ...account.options, workDirectory: account.workDirectory(directory) }
      return plugin.create('slurm', plugin.options.parse({ ...how, ...times, ...place, ...options }), {
        directory,
        variables,
        now: Date.now,
        warn: (message) => void warnings.push(message),
      })
    })
    const { home } = cluster.server
    const name = basename(this.directory)
    this.base = options.workDirectory ?? join(home, name)
    this.#mark = join(home, `ran-${name}`)
    this.gate = join(home, `gate-${name}`)
    this.warnings = warnings
    this.#cluster = cluster
  }

  static async start(place: LoginTrialPlace, options: LoginTrialOptions = {}): Promise<LoginTrial> {
    const trial = new LoginTrial(place, options)
    await trial.open()
    return trial
  }

  /** A job that leaves a line with its id when it runs. */
  counted(script: string, more: Partial<JobRequest> = {}): JobRequest {
    return this.shell(`echo "$MOLEHILL_JOB_ID" >> ${this.#mark}; ${script}`, more)
  }

  /** A counted job that goes on when the gate is open. */
  gated(script: string, more: Partial<JobRequest> = {}): JobRequest {
    return this.counted(`until [ -e ${this.gate} ]; do sleep 0.1; done; ${script}`, more)
  }

  async openGate(): Promise<void> {
    await this.#cluster.server.run(['touch', this.gate])
  }

  /** Ids of counted jobs, one for each time that one ran. */
  runs(): readonly string[] {
    return existsSync(this.#mark) ? readFileSync(this.#mark, 'utf8').split('\n').filter(Boolean).sort() : []
  }

  /** Runs a command of Slurm as its administrator, without SSH. */
  slurm(...command: readonly string[]): Promise<string> {
    return runCommand(command, { variables: this.#cluster.slurm.variables })
  }

  /** Jobs that Slurm has to do with. */
  async queue(): Promise<readonly string[]> {
    return (await this.slurm('squeue', '-h', '-o', '%i')).split('\n').filter(Boolean)
  }

  /** How many submissions Slurm has taken so far. */
  async submissions(): Promise<number> {
    const listed = await this.slurm('squeue', '-h', '-t', 'all', '-o', '%F')
    return new Set(listed.split('\n').filter(Boolean)).size
  }

  /** Lets go of everything, then waits until Slurm and the work directory are empty; only the queue of pilots stays. */
  async leaveNothing(handles: readonly JobHandle[]): Promise<void> {
    await insist(async () => {
      await this.environment.release(handles, noSignal)
      await this.environment.discard?.(this.workDirectory, noSignal)
      return true
    })
    const notPilots = ['-not', '-path', `${this.base}/runners/*`]
    let left: readonly string[] = []
    await until(
      'Slurm and the work directory are empty',
      async () => {
        const { stdout } = await this.#cluster.server.run(['find', this.base, '-mindepth', '2', ...notPilots])
        left = [...(await this.queue()), ...stdout.split('\n').filter(Boolean)]
        return left.length === 0 ? true : undefined
      },
      () => left,
      patienceMs,
    )
  }
}

/** What the environment says when it fails. */
export async function complaint(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    (value) => new Error(`no error but ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(EnvironmentError)
  return messageOf(error)
}

/** Goes on asking over errors of the environment, as the engine does. */
export async function insist<T>(work: () => Promise<T>): Promise<T> {
  let last: unknown
  const patiently = () =>
    work().catch((error: unknown) => {
      if (!(error instanceof EnvironmentError)) throw error
      last = error.message
      return undefined
    })
  return until('it works again', patiently, () => last, patienceMs)
}
