import { constants } from 'node:fs'
import { copyFile, lstat, open, realpath, rename, rm } from 'node:fs/promises'
import { lstatSync } from 'node:fs'
import { basename, dirname, join, relative, sep } from 'node:path'
import { handOverFor, ownerIn } from '../../files/hand-over.ts'
import { openWay, type OpenedWay } from '../../files/open-way.ts'
import { handlePath, isInside, openInside } from '../../files/safe-open.ts'
import type { ExecutionPaths } from '../../job/command.ts'
import type { Database } from '../../store/database.ts'
import type { Write } from '../../store/journal-schema.ts'
import { HookError, type HookEffect } from './render.ts'
import { messageOf } from '../../problem.ts'

interface Entry {
  readonly sequence: number
  readonly kind: HookEffect['kind']
  readonly path: string
  readonly content: string
}

interface HookFile {
  /** Up to where the file is known to hold what hooks wrote and nothing twice. */
  length: number
  /** Whether more than `length` bytes in it are left over: from before the execution, or from a crash. */
  hasLeftovers: boolean
}

/** The execution's output, as display hooks write to it. */
export interface DisplayOutput {
  /** How long it was when it was opened. */
  readonly openedBytes: number
  /**
   * Appends a text. Before the first byte is written, `placed` is told where that will be, and waited for. Resolves
   * when the text is on the disk.
   */
  append(text: string, placed: (at: number) => Promise<void>): Promise<void>
}

/** Where the output's part begins that holds the displays up to `last`, if it was written. */
interface DisplayMark {
  readonly at: number
  readonly last: number
}

/**
 * Carries out the effects of hooks exactly once, also across a crash. An effect is noted in the journal together
 * with the completion of its job; when that is committed it is done, and when it is done the journal forgets it and
 * remembers how long the file has become. After a crash a longer file is cut back before the rest is done. The output
 * has other writers, so for displays the journal remembers the place before anything is written there: after a crash
 * what is already there is not written again.
 */
export class HookWriter {
  readonly #journal: Database
  readonly #paths: ExecutionPaths
  readonly #display: DisplayOutput
  readonly #failed: (error: Error) => void
  readonly #files = new Map<string, HookFile>()
  #noted: Entry[] = []
  #committed: Entry[] = []
  #sequence = 0
  #running: Promise<void> | undefined

  constructor(
    journal: Database,
    options: {
      paths: ExecutionPaths
      display: DisplayOutput
      /** Told when an effect cannot be carried out; what follows it goes on. */
      failed: (error: Error) => void
    },
  ) {
    this.#journal = journal
    this.#paths = options.paths
    this.#display = options.display
    this.#failed = options.failed
    const mark = readDisplayMark(journal)
    // A number that a mark names must not come again.
    this.#sequence = mark?.last ?? 0
    for (const row of journal.reader.prepare('SELECT path, length FROM hook_files').all())
      this.#files.set(String(row['path']), { length: Number(row['length']), hasLeftovers: false })
    for (const row of journal.reader
      .prepare('SELECT sequence, kind, path, content FROM outbox ORDER BY sequence')
      .all()) {
      const entry: Entry = {
        sequence: Number(row['sequence']),
        kind: row['kind'] as Entry['kind'],
        path: String(row['path']),
        content: String(row['content']),
      }
      this.#sequence = entry.sequence
      this.#noted.push(entry)
      const file = this.#files.get(entry.path)
      if (file !== undefined) file.hasLeftovers = true
    }
    const unfinished = mark === undefined ? undefined : this.#takeUnfinished(mark)
    if (unfinished !== undefined) this.#running = this.#carryOutAll(this.#finishDisplay(unfinished))
    this.committed(this.#sequence)
  }

  /** The journal's entries for effects. They belong into the transaction that completes the job. */
  note(effects: readonly HookEffect[]): Write[] {
    return effects.flatMap((effect): Write[] => {
      this.#sequence += 1
      const entry: Entry = {
        sequence: this.#sequence,
        kind: effect.kind,
        path: effect.kind === 'display' ? '' : effect.path,
        content: effect.kind === 'copy' ? effect.from : effect.text,
      }
      const begun = effect.kind === 'append' ? this.#begin(effect) : { writes: [], header: '' }
      const noted = { ...entry, content: begun.header + entry.content }
      this.#noted.push(noted)
      return [...begun.writes, ['putOutbox', noted.sequence, noted.kind, noted.path, noted.content]]
    })
  }

  /** The number of the last effect that was noted: see `committed`. */
  get lastNoted(): number {
    return this.#sequence
  }

  /**
   * Says that what was noted up to this number is committed. Later effects wait for their own transaction: done before
   * it, they would be done again when the server dies in between.
   */
  committed(lastNoted: number): void {
    const count = this.#noted.findIndex(({ sequence }) => sequence > lastNoted)
    this.#committed.push(...this.#noted.splice(0, count === -1 ? this.#noted.length : count))
    if (this.#committed.length > 0) this.#running ??= this.#carryOutAll()
  }

  /** Resolves when every committed effect has been carried out. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  #begin(effect: HookEffect & { kind: 'append' }): { writes: Write[]; header: string } {
    if (this.#files.has(effect.path)) return { writes: [], header: '' }
    const path = join(this.#paths.workDirectory, effect.path)
    const size = sizeOf(path)
    const length = effect.keepsOld ? size : 0
    this.#files.set(effect.path, { length, hasLeftovers: size > length })
    return {
      writes: [['putHookFile', effect.path, length]],
      header: length === 0 ? effect.header : '',
    }
  }

  /** Takes out the displays that were being written when the server died, with what is not there yet of them. */
  #takeUnfinished({ at, last }: DisplayMark): { readonly rest: string; readonly last: number } | undefined {
    const isMarked = ({ kind, sequence }: Entry): boolean => kind === 'display' && sequence <= last
    const marked = this.#noted.filter(isMarked)
    const writtenBytes = this.#display.openedBytes - at
    // A power cut may have cost what stood before: then the place is no longer the same.
    if (marked.length === 0 || writtenBytes < 0) return undefined
    this.#noted = this.#noted.filter((entry) => !isMarked(entry))
    const text = Buffer.from(marked.map(({ content }) => content).join(''))
    return { rest: text.subarray(writtenBytes).toString(), last }
  }

  /** Writes the rest before anybody else writes to the output: the mark still holds, should the server die again. */
  async #finishDisplay({ rest, last }: { readonly rest: string; readonly last: number }): Promise<void> {
    const settled = () => Promise.resolve()
    if (rest !== '') await this.#attempt('the output', async () => this.#display.append(rest, settled))
    this.#journal.write([['clearOutbox', '', last]])
    await this.#journal.flushed()
  }

  async #carryOutAll(first?: Promise<void>): Promise<void> {
    try {
      await first
      while (this.#committed.length > 0) {
        const entries = this.#committed
        this.#committed = []
        const paths = new Set(entries.map(({ path }) => path))
        for (const path of paths)
          await this.#carryOut(
            path,
            entries.filter((entry) => entry.path === path),
          )
      }
    } catch (error) {
      // The journal cannot be written: what it has noted is seen to in the next life of the server.
      this.#committed = []
      this.#failed(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#running = undefined
    }
  }

  async #carryOut(path: string, entries: readonly Entry[]): Promise<void> {
    const last = entries.at(-1)
    if (last === undefined) return
    const writes: Write[] = [['clearOutbox', path, last.sequence]]
    const text = entries.map(({ content }) => content).join('')
    await this.#attempt(last.kind === 'display' ? 'the output' : path, async () => {
      if (last.kind === 'display') await this.#showText(text, last.sequence)
      else if (last.kind === 'copy') await this.#copy(last.content, path)
      else writes.push(['putHookFile', path, await this.#appendToFile(path, text)])
    })
    this.#journal.write(writes)
    await this.#journal.flushed()
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const reason = messageOf(error)
      this.#failed(new HookError(`A hook cannot write ${what}: ${reason}`))
    }
  }

  async #showText(text: string, last: number): Promise<void> {
    await this.#display.append(text, async (at) => {
      this.#journal.write([['setFact', displayFact, JSON.stringify({ at, last } satisfies DisplayMark)]])
      await this.#journal.flushed()
    })
  }

  async #appendToFile(path: string, text: string): Promise<number> {
    await using place = await this.#openPlace(path)
    const file = this.#files.get(path) ?? { length: 0, hasLeftovers: false }
    this.#files.set(path, file)
    const handle = await open(place.target, appendFlags, 0o644)
    try {
      if (!(await handle.stat()).isFile()) throw new HookError('something else than a file has that name.')
      const owner = place.isNew ? await ownerIn(place.handle) : undefined
      if (owner !== undefined) await handle.chown(owner.userId, owner.groupId)
      if (file.hasLeftovers) await handle.truncate(file.length)
      file.hasLeftovers = false
      const { size } = await handle.stat()
      const bytes = Buffer.from(text)
      for (let written = 0; written < bytes.length;)
        written += (await handle.write(bytes, written, bytes.length - written, size + written)).bytesWritten
      await handle.datasync()
      file.length = size + bytes.length
      return file.length
    } catch (error) {
      file.hasLeftovers = true
      throw error
    } finally {
      await handle.close()
    }
  }

  async #copy(from: string, path: string): Promise<void> {
    await using place = await this.#openPlace(path)
    const temporary = `${place.target}.partial`
    const [root, ...rest] = from.split('/')
    const { workDirectory, filesDirectory } = this.#paths
    const source = await openInside(root === 'files' ? filesDirectory : workDirectory, rest.join('/'))
    try {
      if (!source.stats.isFile()) throw new HookError('what it copies is no file.')
      await rm(temporary, { force: true })
      await copyFile(handlePath(source.handle, source.path), temporary, copyFlags)
      await handOverFor(temporary, place.handle)
      await rename(temporary, place.target)
    } finally {
      await source.handle.close()
      await rm(temporary, { force: true })
    }
  }

  /** Makes the directories above a target. A job may put links there at any time, which must not lead elsewhere. */
  async #openPlace(path: string): Promise<OpenedPlace> {
    const root = await realpath(this.#paths.workDirectory)
    const way = await openWay(root, await findWay(root, dirname(path)))
    const target = join(way.path, basename(path))
    const close = async (): Promise<void> => way.handle.close()
    try {
      const found = await lstat(target).catch(() => undefined)
      if (found?.isDirectory() === true) throw new HookError('there is a directory of that name.')
      return { ...way, target, isNew: found === undefined, [Symbol.asyncDispose]: close }
    } catch (error) {
      await close()
      throw error
    }
  }
}

/** Where there is nothing that can be asked, writing tells what is wrong. */
function sizeOf(path: string): number {
  try {
    return lstatSync(path).size
  } catch {
    return 0
  }
}

interface OpenedPlace extends OpenedWay, AsyncDisposable {
  readonly target: string
  readonly isNew: boolean
}

// Nothing is written through a link, and nobody is waited for at the other end of a named pipe.
const appendFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK
const copyFlags = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL

/** The names from a root to a directory in it, where links that stay inside are gone. */
async function findWay(root: string, directory: string): Promise<readonly string[]> {
  let real = root
  for (const name of directory.split('/').filter((each) => each !== '' && each !== '.')) {
    const next = join(real, name)
    real = await realpath(next).catch(() => next)
    if (!isInside(root, real)) throw new HookError('its directory leads out of the work directory.')
  }
  return relative(root, real)
    .split(sep)
    .filter((each) => each !== '')
}

const displayFact = 'display'

function readDisplayMark(journal: Database): DisplayMark | undefined {
  const row = journal.reader.prepare('SELECT value FROM facts WHERE name = ?').get(displayFact)
  return row === undefined ? undefined : (JSON.parse(String(row['value'])) as DisplayMark)
}
