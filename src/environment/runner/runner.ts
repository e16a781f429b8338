import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { EnvironmentError } from '../environment.ts'
import type { Host } from '../host.ts'
import { bashCommand, runScript } from '../job-files/host-script.ts'
import type { HostFile, JobFiles } from '../job-files/job-files.ts'
import { readEnd, type JobEnd } from '../job-files/job-script.ts'
import { jobPath, type JobPlace } from '../job-files/places.ts'
import { ensureText, followText, runnerScript } from './runner-script.ts'

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

/** A job for the queue of a runner; its directory is there already, or comes with the list. */
export interface QueuedJob {
  readonly place: JobPlace
  readonly slots: number
  readonly wallTimeMs?: number
  /** Of each of its processes. */
  readonly memoryBytes?: number
}

/** What a runner says of a job, by its id, as it happens. */
export type RunnerNews =
  | { readonly id: string; readonly kind: 'started' }
  | { readonly id: string; readonly kind: 'ended'; readonly end: JobEnd }

const programPath = `runners/program-${createHash('sha256').update(runnerScript).digest('hex').slice(0, 16)}`

/**
 * What keeps the slots of a host busy: a program there that takes jobs from lists of files, and that outlives the
 * connection and the server. Calls throw EnvironmentError when the host cannot be asked, and may be repeated.
 */
export class Runner {
  readonly #host: Host
  readonly #files: JobFiles
  readonly #options: RunnerOptions
  #count = 0

  constructor(host: Host, files: JobFiles, options: RunnerOptions) {
    this.#host = host
    this.#files = files
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  /** The list that puts jobs in the queue when it is written to the host. Lists are read in the order of their names. */
  list(jobs: readonly QueuedJob[], now: number): HostFile {
    this.#count += 1
    const lines = jobs.map(({ place, slots, wallTimeMs = 0, memoryBytes = 0 }) =>
      [jobPath(place), slots, Math.ceil(wallTimeMs / 1000), Math.ceil(memoryBytes / 1024)].join(' '),
    )
    const digest = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 12)
    const order = `${String(now).padStart(14, '0')}-${String(this.#count).padStart(8, '0')}`
    return {
      path: `runners/${this.name}/inbox/${order}-${digest}`,
      text: [...lines, 'end', ''].join('\n'),
    }
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
    const words = [
      await this.#files.base(signal),
      name,
      programPath,
      String(slots),
      String(Math.ceil(stopGraceMs / 1000)),
      String(Math.ceil(idleMs / 1000)),
    ]
    const script = { what: 'starting what runs jobs', text: ensureText, words }
    return (await runScript(this.#host, script, newMark(), signal)).trim()
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
