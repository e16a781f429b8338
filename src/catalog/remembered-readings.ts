import { Problem, toProblem } from '../problem.ts'
import type { Evaluation } from '../script/contract.ts'
import { fingerprint } from './fingerprint.ts'
import { readEntry, type EntryReading, type ReadingSettings } from './read-entry.ts'

export type RememberedReading =
  | ({ readonly kind: 'read' } & EntryReading)
  | { readonly kind: 'broken'; readonly problem: Problem; readonly readAt: number }

/** A reading, and the state of the folder just before it. */
export interface Remembered {
  readonly print: string
  readonly reading: Promise<RememberedReading>
}

/** A script may have failed because the computer was busy: it is tried again. */
const brokenKeptMs = 60_000

/** Readings of folders, each kept until something of its folder changes. */
export class RememberedReadings {
  readonly #settings: ReadingSettings
  readonly #now: () => number
  readonly #known = new Map<string, Remembered>()
  readonly #closing = new AbortController()

  constructor(settings: ReadingSettings, now: () => number) {
    this.#settings = settings
    this.#now = now
  }

  /** What a folder says, read where it is not known. Never rejects for what is wrong with the folder. */
  async of(directory: string): Promise<RememberedReading> {
    let print: string
    try {
      print = await fingerprint(directory)
    } catch (error) {
      return { kind: 'broken', problem: toProblem(error), readAt: this.#now() }
    }
    const known = this.#known.get(directory)
    if (known?.print === print) {
      const reading = await known.reading
      if (reading.kind === 'read' || this.#now() < reading.readAt + brokenKeptMs) return reading
    }
    const reading = this.#read(directory)
    this.#known.set(directory, { print, reading })
    return reading
  }

  /** Reads a folder that has not its own place yet. Throws what is wrong with it. */
  async read(directory: string, signal: AbortSignal): Promise<EntryReading> {
    return readEntry(this.#settings, directory, AbortSignal.any([signal, this.#closing.signal]))
  }

  /** The latest reading of a folder, whatever has become of the folder since. */
  latest(directory: string): Remembered | undefined {
    return this.#known.get(directory)
  }

  /** What a script has said, where nothing of its folder has changed since before it was read. */
  async stillSaid(directory: string, { print, reading }: Remembered): Promise<Evaluation | undefined> {
    if ((await fingerprint(directory).catch(() => undefined)) !== print) return undefined
    const read = await reading
    return read.kind === 'read' ? read.evaluation : undefined
  }

  /** Keeps what was read of a folder that has been renamed to `directory` since. */
  async keep(directory: string, reading: EntryReading): Promise<void> {
    const print = await fingerprint(directory)
    this.#known.set(directory, { print, reading: Promise.resolve({ kind: 'read', ...reading }) })
  }

  /** Forgets all folders but these. */
  retain(directories: ReadonlySet<string>): void {
    for (const directory of this.#known.keys()) if (!directories.has(directory)) this.#known.delete(directory)
  }

  async close(): Promise<void> {
    this.#closing.abort(new Problem('server-busy', 'The server is stopping.', { retryAfterSeconds: 10 }))
    await Promise.all([...this.#known.values()].map(async ({ reading }) => reading))
  }

  async #read(directory: string): Promise<RememberedReading> {
    try {
      return { kind: 'read', ...(await readEntry(this.#settings, directory, this.#closing.signal)) }
    } catch (error) {
      return { kind: 'broken', problem: toProblem(error), readAt: this.#now() }
    }
  }
}
