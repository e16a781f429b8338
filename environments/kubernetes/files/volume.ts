import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import type { Content } from '../../../src/environment/job-files/scan-tree.ts'
import {
  FileChangedError,
  tarBytes,
  tarLength,
  type TarEntry,
} from '../../../src/environment/job-files/tar-stream.ts'
import { writeFileDurably } from '../../../src/files/durable-file.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { Carrier, type CarrierParts } from './carrier.ts'
import { claimRoot } from './carrier-body.ts'
import { backOffMs } from '../cluster/clock.ts'
import { claimDirectory, keptDirectory } from '../pods/job-body.ts'
import type { Packing } from './staging.ts'
import { keptName } from '../scripts/staging-scripts.ts'
import {
  claimText,
  lookKeptText,
  makeKeptText,
  publishText,
  readKeptText,
  releaseText,
  unpackText,
} from '../scripts/volume-scripts.ts'

export interface VolumeParts extends CarrierParts {
  /** On the server: which executions have something in the claim. */
  readonly directory: string
}

/** One content that jobs of an execution need. */
export interface NeededContent {
  readonly content: Content
  /** Whether it stays for some days after the last execution that uses it. */
  readonly isKept: boolean
}

/** What goes in one stream: what is cut is sent again from there on. */
const [pieceBytes, pieceEntries] = [64 * 2 ** 20, 10_000]
const mostTries = 5
const keptDays = 7

/** Contents in a claim, each put there once and never changed: pods mount them. */
export class Volume {
  readonly #parts: VolumeParts
  readonly #carrier: Carrier
  readonly #root: string
  /** `KEY HASH` of what this life of the server knows to be there. */
  readonly #known = new Set<string>()
  /** One thing after the other: two callers often need the same content. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: VolumeParts) {
    this.#parts = parts
    this.#carrier = new Carrier(parts)
    this.#root = `${claimRoot}/${claimDirectory(parts.instance)}`
    mkdirSync(parts.directory, { recursive: true, mode: 0o700 })
  }

  /**
   * Puts what is missing into the claim, for the execution with this key. Throws EnvironmentError where no pod can have
   * the claim, ApiError, and FileChangedError where a file is not what it was.
   */
  async ensure(key: string, needed: readonly NeededContent[], signal: AbortSignal): Promise<void> {
    const isUnknown = ({ content }: NeededContent): boolean => !this.#known.has(`${key} ${content.hash}`)
    if (!needed.some(isUnknown)) return
    await this.#exclusively(async () => {
      const wanted = needed.filter(isUnknown)
      if (wanted.length === 0) return
      await writeFileDurably(this.#recordOf(key), '', 0o600)
      const there = await this.#claim(key, wanted, signal)
      for (const one of wanted) {
        if (!there.has(one.content.hash)) {
          await this.#bring(one.content, signal)
          await this.#claim(key, [one], signal)
        }
        this.#known.add(`${key} ${one.content.hash}`)
      }
    })
  }

  /** Makes a directory for each job of an execution. Throws as `ensure` does. */
  async makeKept(key: string, names: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#exclusively(() =>
      this.#persistently(
        () => this.#carrier.run(makeKeptText, [this.#root, keptDirectory(key), ...names], signal),
        signal,
      ),
    )
  }

  /** How to get what a job has left in its directory; undefined where it has left nothing. */
  async kept(key: string, name: string, signal: AbortSignal): Promise<Packing | undefined> {
    if (!existsSync(this.#recordOf(key))) return undefined
    const path = `${keptDirectory(key)}/${name}/${keptName}`
    const answer = await this.#exclusively(() => this.#carrier.run(lookKeptText, [this.#root, path], signal))
    if (answer.trim() !== 'there') return undefined
    return async (output, mark) => {
      await this.#carrier.run(readKeptText, [this.#root, path, mark], signal, { output })
    }
  }

  /** Deletes what only this execution has used. */
  async discard(key: string, signal: AbortSignal): Promise<void> {
    if (!existsSync(this.#recordOf(key))) return
    await this.#exclusively(async () => {
      await this.#carrier.run(releaseText, [this.#root, key, String(keptDays), keptDirectory(key)], signal)
      for (const known of this.#known) if (known.startsWith(`${key} `)) this.#known.delete(known)
      rmSync(this.#recordOf(key), { force: true })
    })
  }

  async close(): Promise<void> {
    await this.#last
    await this.#carrier.close()
  }

  async #claim(
    key: string,
    needed: readonly NeededContent[],
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const words = needed.flatMap(({ content, isKept }) => [content.hash, isKept ? 'kept' : '-'])
    const answer = await this.#persistently(
      () => this.#carrier.run(claimText, [this.#root, key, ...words], signal),
      signal,
    )
    return new Set(answer.split('\n'))
  }

  async #bring({ entries, hash, bytes }: Content, signal: AbortSignal): Promise<void> {
    const mark = this.#parts.newMark()
    const run = (text: string, words: readonly string[], piece?: readonly TarEntry[]) =>
      this.#persistently(() => {
        const stdin = piece && Readable.from(tarBytes(piece), { objectMode: false })
        return this.#carrier.run(text, [this.#root, mark, ...words], signal, { stdin })
      }, signal)
    for (const piece of piecesOf(entries)) await run(unpackText, [String(tarLength(piece))], piece)
    const files = entries.filter(({ kind }) => kind === 'file').length
    await run(publishText, [hash, String(files), String(bytes)])
  }

  /** Connections are cut, and pods are moved to other nodes: what is done here may be done again. */
  async #persistently<Answer>(ask: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    for (let failures = 1; ; failures += 1)
      try {
        return await ask()
      } catch (error) {
        signal.throwIfAborted()
        const mayGoAgain = error instanceof ApiError && (error.status === 0 || error.status >= 500)
        if (error instanceof FileChangedError || !mayGoAgain || failures >= mostTries) throw error
        await pause(backOffMs(failures), undefined, { signal })
      }
  }

  #recordOf(key: string): string {
    return join(this.#parts.directory, key)
  }

  async #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => undefined)
    return result
  }
}

function piecesOf(entries: readonly TarEntry[]): readonly (readonly TarEntry[])[] {
  const pieces: TarEntry[][] = []
  let bytes = 0
  for (const entry of entries) {
    const last = pieces.at(-1)
    if (last === undefined || last.length >= pieceEntries || bytes >= pieceBytes) {
      pieces.push([entry])
      bytes = 0
    } else last.push(entry)
    if (entry.kind === 'file') bytes += entry.sizeBytes
  }
  return pieces
}
