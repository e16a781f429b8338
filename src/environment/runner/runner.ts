import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { EnvironmentError, type CheckFinding, type Resources } from '../environment.ts'
import type { Host } from '../host.ts'
import { bashCommand, runScript } from '../job-files/host-script.ts'
import type { HostFile, JobFiles } from '../job-files/job-files.ts'
import { readEnd } from '../job-files/job-script.ts'
import { jobPath } from '../job-files/places.ts'
import { ensureText, followText, runnerScript } from './runner-script.ts'
import type { JobNeeds, QueuedJob, RunnerNews, Workers } from './workers.ts'
import { messageOf } from '../../problem.ts'

export interface RunnerOptions {
  /** Letters and digits: part of paths. Stays the same from one life of the server to the next. */
  readonly name: string
  readonly slots: number
  /** How long a job may go on after it was asked to end. */
  readonly stopGraceMs: number
  /** How long the runner stays when there is nothing to do. */
  readonly idleMs: number
  readonly newMark: () => string
}

/** Below the base directory. */
export const programPath = `runners/program-${createHash('sha256').update(runnerScript).digest('hex').slice(0, 16)}`

/**
 * What keeps the slots of a host busy: a program there that takes jobs from lists of files, and that outlives the
 * connection and the server. Calls throw EnvironmentError when the host cannot be asked, and may be repeated.
 */
export class Runner implements Workers {
  readonly ensureMs = 10_000
  readonly #host: Host
  readonly #files: JobFiles
  readonly #options: RunnerOptions
  readonly #list: InboxLists

  constructor(host: Host, files: JobFiles, options: RunnerOptions) {
    this.#host = host
    this.#files = files
    this.#options = options
    this.#list = inboxLists(options.name)
  }

  get name(): string {
    return this.#options.name
  }

  get slots(): number {
    return this.#options.slots
  }

  plan({ cpus = 1, wallTimeMs, memoryBytes }: Resources): JobNeeds {
    return {
      slots: Math.min(cpus, this.slots),
      ...(wallTimeMs !== undefined && { wallTimeMs }),
      ...(memoryBytes !== undefined && { memoryBytes }),
    }
  }

  list(jobs: readonly QueuedJob[], now: number): HostFile {
    return this.#list(jobs, now)
  }

  /** Sees to it that the runner lives, and that it looks at its queue and at what was cancelled. */
  async ensure(signal: AbortSignal): Promise<void> {
    let answer = await this.#askForRunner(signal)
    if (answer === 'missing') {
      await this.#files.write([{ path: programPath, text: runnerScript }], signal)
      answer = await this.#askForRunner(signal)
    }
    if (answer !== 'alive' && answer !== 'begun')
      throw new EnvironmentError(`${this.#host.name} does not say whether it runs jobs: ${answer}`)
  }

  wake(signal: AbortSignal): Promise<void> {
    return this.ensure(signal)
  }

  async inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    try {
      await this.ensure(signal)
      return [{ what: 'runner', isGood: true, message: `Up to ${this.slots} jobs run at once.` }]
    } catch (error) {
      signal.throwIfAborted()
      return [{ what: 'runner', isGood: false, message: messageOf(error) }]
    }
  }

  /** Tells what the runner says from now on. Resolves with the reason when it cannot be heard any more. */
  async follow(
    begun: () => void,
    told: (news: readonly RunnerNews[]) => void,
    signal: AbortSignal,
  ): Promise<string> {
    const base = await this.#files.base(signal)
    const process = await this.#host.open(bashCommand(followText, [base, this.name]), signal)
    const keepAlive = setInterval(() => process.stdin.write('\n'), keepAliveMs)
    keepAlive.unref()
    let gathered: RunnerNews[] = []
    const lines = createInterface({ input: process.stdout })
    lines.on('error', ignore)
    lines.on('line', (line) => {
      if (line === 'following') begun()
      const news = readNews(line)
      if (news === undefined) return
      if (gathered.length === 0)
        setImmediate(() => {
          const all = gathered
          gathered = []
          told(all)
        })
      gathered.push(news)
    })
    const { message } = await process.ended
    clearInterval(keepAlive)
    return message
  }

  async #askForRunner(signal: AbortSignal): Promise<string> {
    const { name, slots, stopGraceMs, idleMs, newMark } = this.#options
    const below = await this.#files.base(signal)
    const words = [
      name,
      programPath,
      String(slots),
      String(Math.ceil(stopGraceMs / 1000)),
      String(Math.ceil(idleMs / 1000)),
    ]
    const script = { what: 'starting what runs jobs', text: ensureText, below, words }
    return (await runScript(this.#host, script, newMark(), signal)).trim()
  }
}

type InboxLists = (jobs: readonly QueuedJob[], now: number) => HostFile

/** Makes lists for the inbox of the runners of this name. Lists are read in the order of their names. */
export function inboxLists(name: string): InboxLists {
  let count = 0
  return (jobs, now) => {
    count += 1
    const lines = jobs.map(({ place, slots, wallTimeMs = 0, memoryBytes = 0 }) =>
      [jobPath(place), slots, Math.ceil(wallTimeMs / 1000), Math.ceil(memoryBytes / 1024)].join(' '),
    )
    const digest = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 12)
    const order = `${String(now).padStart(14, '0')}-${String(count).padStart(8, '0')}`
    return {
      path: `runners/${name}/inbox/${order}-${digest}`,
      text: [...lines, 'end', ''].join('\n'),
    }
  }
}

/** Less than the quarter of an hour after which the other end gives up. */
const keepAliveMs = 300_000

/** A line of the runner's log; undefined for any other text. */
export function readNews(line: string): RunnerNews | undefined {
  const [, kind, path = '', rest = ''] = /^(started|ended) (\S+)(?: (.*))?$/.exec(line) ?? []
  const id = path.slice(path.lastIndexOf('/') + 1)
  if (kind === 'started') return { id, kind }
  const end = kind === 'ended' ? readEnd(`${rest}\n`) : undefined
  return end === undefined ? undefined : { id, kind: 'ended', end }
}

function ignore(): void {
  // The end of the program tells.
}
