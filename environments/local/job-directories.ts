import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  truncateSync,
  unlinkSync,
  type Dirent,
} from 'node:fs'
import { basename, join } from 'node:path'
import { removeTree } from '../../src/files/remove-tree.ts'
import type { JobRequest } from '../../src/environment/environment.ts'
import type { JobBoxes } from '../../src/environment/plugin.ts'
import { makeBoxedView } from './boxed-view.ts'
import { processCount, subdirectoriesInUse } from './processes.ts'
import { makeView, type DirectoryReader, type Links } from '../../src/environment/view.ts'

/** A directory whose job is over: nothing of the job is in it, links of its view may be. */
interface Spare {
  readonly directory: string
  readonly links: Links
}

/** More spare directories than this are removed. */
const mostSpares = 512
/** A directory with more names than this is removed rather than tidied. */
const mostNames = 256

/**
 * The job directories of one environment: each holds `work`, where the job runs, and its `stdout` and `stderr`.
 * They are used again, since making and deleting files is dear: ext4 looks again and again at every inode that was
 * deleted during the last minutes before it makes one. A directory is used again only when its job left it as it
 * was and no process has it open any more.
 */
export class JobDirectories {
  readonly #directory: string
  readonly #warn: (message: string) => void
  /** Where each job has a box of its own. */
  readonly #boxes: JobBoxes | undefined
  /** Tidied, but perhaps still in use by a process that left its job's group. */
  #resting: Spare[] = []
  readonly #spares: Spare[] = []
  #count = 0
  #isClosed = false
  /** Mode of a `work` directory that no job has changed. */
  #mode: number | undefined

  /** @param boxes those of the jobs */
  constructor(directory: string, warn: (message: string) => void, boxes?: JobBoxes) {
    this.#directory = directory
    this.#warn = warn
    this.#boxes = boxes?.isPerJob === true ? boxes : undefined
  }

  /** A directory with a view of the request's work directory. */
  take(request: JobRequest, read: DirectoryReader): string {
    if (this.#spares.length === 0) this.#checkResting()
    const spare = this.#spares.pop()
    const directory = spare?.directory ?? this.#new()
    try {
      if (this.#boxes === undefined) makeView(join(directory, 'work'), request, read, spare?.links)
      else makeBoxedView(directory, this.#boxes, request, read, spare?.links)
    } catch (error) {
      void this.#remove(directory)
      throw error
    }
    this.#mode ??= lstatSync(join(directory, 'work')).mode
    return directory
  }

  /** Takes a directory back whose job is over, and deletes what the job made. */
  async give(directory: string): Promise<void> {
    const isWanted = !this.#isClosed && this.#spares.length + this.#resting.length < mostSpares
    const links = isWanted ? this.#tidy(directory) : undefined
    if (links !== undefined) this.#resting.push({ directory, links })
    else await this.#remove(directory)
  }

  /** Removes the spare directories; keeps none afterwards. */
  async close(): Promise<void> {
    this.#isClosed = true
    const spares = [...this.#spares.splice(0), ...this.#resting.splice(0)]
    for (const { directory } of spares) await this.#remove(directory)
  }

  #new(): string {
    this.#count += 1
    const directory = `${this.#directory}/d${this.#count}`
    mkdirSync(directory)
    return directory
  }

  async #remove(directory: string): Promise<void> {
    try {
      await removeTree(directory)
    } catch (error) {
      this.#warn(`A job left something in ${directory} that cannot be deleted: ${String(error)}`)
    }
  }

  /** Deletes what the job made, and returns the links that are left; undefined where the job changed too much. */
  #tidy(directory: string): Links | undefined {
    const work = join(directory, 'work')
    try {
      if (readdirSync(directory).some((name) => !['work', 'stdout', 'stderr'].includes(name)))
        return undefined
      if (lstatSync(work).mode !== this.#mode) return undefined
      const entries = readdirSync(work, { withFileTypes: true })
      if (entries.length > mostNames || entries.some((entry) => entry.isDirectory())) return undefined
      emptyLog(join(directory, 'stdout'))
      emptyLog(join(directory, 'stderr'))
      return new Map(entries.flatMap((entry) => linkOf(work, entry)))
    } catch {
      return undefined
    }
  }

  /** Where enough directories rest, finds those that nobody uses: one look at all processes serves many jobs. */
  #checkResting(): void {
    if (this.#resting.length < Math.max(16, processCount() / 8)) return
    const used = subdirectoriesInUse(this.#directory)
    if (used === undefined) return
    const resting = this.#resting
    this.#resting = []
    for (const spare of resting)
      (used.has(basename(spare.directory)) ? this.#resting : this.#spares).push(spare)
  }
}

/** Keeps a link, deletes any other file. */
function linkOf(directory: string, entry: Dirent): readonly (readonly [string, string])[] {
  const path = join(directory, entry.name)
  if (entry.isSymbolicLink()) return [[entry.name, readlinkSync(path)]]
  unlinkSync(path)
  return []
}

/** A log is written again by the next job: it must be a file with this one name. */
function emptyLog(path: string): void {
  if (!existsSync(path)) return
  const entry = lstatSync(path)
  if (!entry.isFile() || entry.nlink !== 1) unlinkSync(path)
  else if (entry.size > 0) truncateSync(path)
}
