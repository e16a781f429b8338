import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach } from 'vitest'
import type { BatchEnvironmentOptions } from '../../../src/environment/batch/batch-environment.ts'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../../src/environment/environment.ts'
import type { Host, HostCommand, HostResult } from '../../../src/environment/host.ts'
import { Trial } from '../trial.ts'
import { fakeEnvironment, fakeState } from './fake-environment.ts'

/** What a test does to the commands between the environment and its host. */
type Fault = (command: HostCommand, run: () => Promise<HostResult>) => Promise<HostResult>

const program = fileURLToPath(new URL('queue.sh', import.meta.url))

export const cutOff = new EnvironmentError('the connection was cut')

/** The scheduler's verb; undefined for commands that look after files. */
export function verbOf({ argv }: HostCommand): string | undefined {
  const at = argv.findIndex((word) => word.endsWith('/queue.sh'))
  return at < 0 ? undefined : argv[at + 1]
}

/** For each test a fake scheduler, and an environment that uses it over a host whose answers the test may change. */
export class FakeScene {
  trial!: Trial
  /** The scheduler's directory. */
  state = ''
  fault: Fault | undefined
  /** What the host was asked for: the scheduler's verbs, and `files`. */
  verbs: string[] = []
  warnings: string[] = []
  options: Partial<BatchEnvironmentOptions> = {}

  /** To be made at the top of a file: it opens and closes the environment around the tests. */
  constructor() {
    beforeEach(async () => {
      this.fault = undefined
      this.verbs = []
      this.warnings = []
      this.options = {}
      await this.open(false)
    })
    afterEach(() => {
      for (const name of ['hold', 'broken']) this.clear(name)
      this.fault = undefined
      return this.trial.close()
    })
  }

  async open(sharesFiles: boolean): Promise<void> {
    this.trial = new Trial(async (directory) =>
      fakeEnvironment(directory, {
        sharesFiles,
        options: this.options,
        through: (host) => this.#through(host),
        warn: (message) => this.warnings.push(message),
      }),
    )
    this.state = fakeState(this.trial.ownDirectory)
    mkdirSync(this.state, { recursive: true })
    await this.trial.open()
  }

  /** Has the scheduler misbehave: `queue.sh` says how. */
  set(name: string, text = ''): void {
    writeFileSync(join(this.state, name), text)
  }

  clear(name: string): void {
    rmSync(join(this.state, name), { force: true })
  }

  /** Native ids of what is in the queue. */
  listed(): readonly string[] {
    return readdirSync(join(this.state, 'jobs'))
  }

  /** Ends a job without a word of it anywhere. */
  kill({ nativeId }: JobHandle): void {
    execFileSync('bash', [program, 'kill', this.state, nativeId])
  }

  /** The directory of a job, where nothing has to travel to see it. */
  placeOf({ id, state: { key } }: JobHandle): string {
    return join(this.trial.ownDirectory, 'base/executions', String(key), 'jobs', id)
  }

  /** A job that tells how often it ran. */
  counted(): { readonly request: JobRequest; readonly runs: () => number } {
    const mark = join(this.trial.directory, 'ran')
    return {
      request: this.trial.shell('echo x >> "$MARK"', { env: { MARK: mark } }),
      runs: () => (existsSync(mark) ? readFileSync(mark, 'utf8').length / 2 : 0),
    }
  }

  #through(host: Host): Host {
    return {
      name: host.name,
      sharesFiles: host.sharesFiles,
      run: (command, signal) => {
        this.verbs.push(verbOf(command) ?? 'files')
        const run = () => host.run(command, signal)
        return this.fault === undefined ? run() : this.fault(command, run)
      },
      open: (argv, signal) => host.open(argv, signal),
      close: () => host.close(),
    }
  }
}
