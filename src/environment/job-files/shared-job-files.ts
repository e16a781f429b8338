import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { removeTree } from '../../files/remove-tree.ts'
import { bringOutput } from '../bring-output.ts'
import { EnvironmentError, type CheckFinding, type CollectedFiles, type JobId } from '../environment.ts'
import type { Host } from '../host.ts'
import { makeView, rememberingReader, type DirectoryReader } from '../view.ts'
import { inspectHost } from './inspect-host.ts'
import {
  JobFilesGone,
  type FoundJob,
  type HostFile,
  type JobFiles,
  type JobFilesOptions,
  type JobMark,
  type NewJob,
} from './job-files.ts'
import { markOf } from './job-mark.ts'
import { commandFile, readCommandFile, readNoteLine } from './command-file.ts'
import { ensureLogs, freshLogs, logDirectory, readLogEnds, sortOutputs } from './logs.ts'
import { executionPath, jobPath, keyOf, type JobPlace } from './places.ts'
import { messageOf } from '../../problem.ts'

/** Jobs looked after in one turn of the event loop. */
const jobsPerTurn = 32
/** Directories that are deleted at the same time. */
const mostRemovals = 8

/** The files of jobs on a host that sees the server's own: nothing travels, views lead to the real files. */
export class SharedJobFiles implements JobFiles {
  readonly #host: Host
  readonly #options: JobFilesOptions
  #base: string | undefined

  constructor(host: Host, options: JobFilesOptions) {
    this.#host = host
    this.#options = options
  }

  async base(): Promise<string> {
    if (this.#base === undefined) {
      const { base } = this.#options
      const path = base === '~' || base.startsWith('~/') ? join(homedir(), base.slice(1)) : base
      try {
        for (const name of ['executions', 'shared'])
          mkdirSync(join(path, name), { recursive: true, mode: 0o700 })
        this.#base = realpathSync.native(path)
      } catch (error) {
        throw new EnvironmentError(`The work directory ${path} cannot be made: ${messageOf(error)}`)
      }
    }
    return this.#base
  }

  async prepare(
    jobs: readonly NewJob[],
    files: readonly HostFile[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, string>> {
    const base = await this.base()
    const refused = new Map<JobId, string>()
    const read = rememberingReader()
    const trees = new Map<string, string>()
    for (const workDirectory of new Set(jobs.map(({ request }) => request.workDirectory))) {
      trees.set(workDirectory, realpathSync.native(workDirectory))
      mkdirSync(join(base, executionPath(keyOf(workDirectory)), 'jobs'), { recursive: true, mode: 0o700 })
    }
    await this.#each(jobs, signal, (job) => {
      const place = join(base, placeOf(job))
      try {
        this.#prepare(job, place, trees.get(job.request.workDirectory) ?? '', read)
      } catch (error) {
        refused.set(job.request.id, `Its directory cannot be made: ${messageOf(error)}`)
        return removeTree(place)
      }
      return undefined
    })
    await this.write(files)
    return refused
  }

  #prepare({ request, note }: NewJob, place: string, tree: string, read: DirectoryReader): void {
    const command = join(place, 'command')
    const text = commandFile(request, note, tree, this.#options.prologue)
    try {
      mkdirSync(place, { mode: 0o700 })
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      // Left by an earlier try: whole where there is a command, which may have begun.
      if (existsSync(command)) {
        replaceFile(command, text)
        return
      }
      rmSync(place, { recursive: true, force: true })
      mkdirSync(place, { mode: 0o700 })
    }
    makeView(join(place, 'work'), request, read)
    // Last: what has a command is whole.
    writeFileSync(command, text)
  }

  async look(places: readonly JobPlace[], signal: AbortSignal): Promise<ReadonlyMap<JobId, JobMark>> {
    const base = await this.base()
    const marks = new Map<JobId, JobMark>()
    await this.#each(places, signal, (place) => {
      marks.set(place.id, markIn(join(base, jobPath(place))))
    })
    return marks
  }

  async readPrinted(place: JobPlace, limitBytes: number): Promise<string> {
    const directory = join(await this.base(), jobPath(place))
    return readLogEnds([join(directory, 'stdout'), join(directory, 'stderr')], limitBytes)
  }

  async markCancelled(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    const base = await this.base()
    let left: string | undefined
    await this.#each(places, signal, (place) => {
      const directory = join(base, jobPath(place))
      if (!existsSync(directory) || textOf(join(directory, 'exit')) !== '') return
      try {
        writeFileSync(join(directory, 'cancelled'), '')
      } catch (error) {
        left = messageOf(error)
      }
    })
    if (left !== undefined) throw new EnvironmentError(`Jobs cannot be marked as cancelled: ${left}`)
  }

  async collect(place: JobPlace, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    const own = join(await this.base(), jobPath(place))
    const file = textOf(join(own, 'command'))
    if (file === '')
      throw new JobFilesGone(`Nothing of the job ${place.id} can be collected: its directory ${own} is gone.`)
    const { tree, outputs } = readCommandFile(file)
    const found = new Set<string>()
    for (const { path } of outputs) {
      signal.throwIfAborted()
      if (await bringOutput(path, { jobDirectory: join(own, 'work'), workDirectory: tree }, directory))
        found.add(path)
    }
    return { ...sortOutputs(outputs, ({ path }) => found.has(path)), ...this.#logs(place, own) }
  }

  async remove(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    const base = await this.base()
    const batches = new Set<string>()
    const waiting = [...places]
    const work = async (): Promise<void> => {
      for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
        signal.throwIfAborted()
        const directory = join(base, jobPath(place))
        const [batch = ''] = readNoteLine(textOf(join(directory, 'command'))).split(' ')
        if (batch !== '' && !batch.includes('/'))
          batches.add(join(base, executionPath(place.key), 'batches', batch))
        await removeTree(directory)
        await rm(logDirectory(this.#options.directory, place), { recursive: true, force: true })
      }
    }
    await Promise.all(Array.from({ length: mostRemovals }, work))
    for (const batch of batches) {
      const ids = textOf(join(batch, 'jobs')).split('\n')
      const jobs = join(dirname(dirname(batch)), 'jobs')
      if (!ids.some((id) => id !== '' && existsSync(join(jobs, id)))) await removeTree(batch)
    }
  }

  async find(ids: readonly JobId[], signal: AbortSignal): Promise<readonly FoundJob[]> {
    const base = await this.base()
    const keys = await readdir(join(base, 'executions'))
    const found: FoundJob[] = []
    await this.#each(ids, signal, (id) => {
      for (const key of keys) {
        const note = readNoteLine(textOf(join(base, jobPath({ id, key }), 'command')))
        if (note !== '') found.push({ id, key, note })
      }
    })
    return found
  }

  async read(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const base = await this.base()
    const texts = new Map<string, string>()
    for (const path of paths) {
      const text = await readFile(join(base, path), 'utf8').catch(() => '')
      if (text !== '') texts.set(path, text)
    }
    return texts
  }

  async write(files: readonly HostFile[]): Promise<void> {
    const base = await this.base()
    for (const { path, text } of files) {
      mkdirSync(dirname(join(base, path)), { recursive: true, mode: 0o700 })
      replaceFile(join(base, path), text)
    }
  }

  async discard(workDirectory: string): Promise<void> {
    await removeTree(join(await this.base(), executionPath(keyOf(workDirectory))))
  }

  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    return inspectHost(this.#host, () => this.base(), this.#options, signal)
  }

  /** The logs where the job wrote them, unless it put something else in their place. */
  #logs(place: JobPlace, own: string): Pick<CollectedFiles, 'stdout' | 'stderr'> {
    const logs = { stdout: join(own, 'stdout'), stderr: join(own, 'stderr') }
    const isOdd = Object.values(logs).some(
      (log) => lstatSync(log, { throwIfNoEntry: false })?.isFile() === false,
    )
    const shown = isOdd ? freshLogs(logDirectory(this.#options.directory, place)) : logs
    ensureLogs(shown)
    return shown
  }

  async #each<Item>(
    items: readonly Item[],
    signal: AbortSignal,
    visit: (item: Item) => Promise<void> | undefined | void,
  ): Promise<void> {
    for (const [index, item] of items.entries()) {
      if (index % jobsPerTurn === jobsPerTurn - 1) await nextTurn(undefined, { signal })
      await visit(item)
    }
  }
}

function placeOf({ request }: NewJob): string {
  return jobPath({ id: request.id, key: keyOf(request.workDirectory) })
}

/** Throws EnvironmentError where the file system does not tell: a file server that fails has not lost the job. */
function markIn(directory: string): JobMark {
  try {
    if (statSync(directory, { throwIfNoEntry: false }) === undefined) return { kind: 'absent' }
  } catch (error) {
    throw new EnvironmentError(`${directory} cannot be looked at: ${messageOf(error)}`, { cause: error })
  }
  const [host = ''] = textOf(join(directory, 'started')).split('\n')
  return markOf(existsSync(join(directory, 'cancelled')), host, textOf(join(directory, 'exit')))
}

/** Whole at every moment: jobs and pilots that just begin may be reading it. */
function replaceFile(path: string, text: string): void {
  // Lists of what lies in a directory leave out names that begin with a dot.
  const fresh = join(dirname(path), `.${basename(path)}.new`)
  writeFileSync(fresh, text, { mode: 0o600 })
  renameSync(fresh, path)
}

/** '' where there is no such file. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ESTALE'].includes(codeOf(error) ?? '')) return ''
    throw error
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
