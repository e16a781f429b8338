import { rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import {
  EnvironmentError,
  isJobId,
  type CheckFinding,
  type CollectedFiles,
  type JobId,
} from '../environment.ts'
import { gather } from '../gather.ts'
import type { Host } from '../host.ts'
import { ContentStore } from './content-store.ts'
import { bashCommand, lastLines, runScript, type HostScript } from './host-script.ts'
import {
  cancelText,
  collectText,
  discardText,
  findText,
  lookText,
  openText,
  prepareText,
  printedText,
  readText,
  removeText,
} from './host-texts.ts'
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
import { readMark } from './job-mark.ts'
import { jobEntries } from './job-entries.ts'
import { logDirectory } from './logs.ts'
import { isKey, jobPath, keyOf, type JobPlace } from './places.ts'
import { Receipt, type Fetch } from './receipt.ts'
import { receiveOutputs, type Placing } from './receive-outputs.ts'
import { FileChangedError, tarBytes, type TarEntry } from './tar-stream.ts'
import { unlimitedMs, watched, watchTransfer } from './transfer-watch.ts'
import { WorkTrees } from './work-trees.ts'
import { messageOf } from '../../problem.ts'

const idleMs = 120_000
/** Deleting many files takes its time on network file systems. */
const removalMs = 600_000

/** The files of jobs on a host that shares none with the server. */
export class RemoteJobFiles implements JobFiles {
  readonly #host: Host
  readonly #options: JobFilesOptions
  readonly #store: ContentStore
  readonly #trees = new WorkTrees()
  readonly #fetch: (fetch: Fetch) => Promise<ReadonlyMap<string, CollectedFiles>>
  #base: string | undefined

  constructor(host: Host, options: JobFilesOptions) {
    this.#host = host
    this.#options = options
    this.#store = new ContentStore(host, options.newMark)
    this.#fetch = gather((fetches: readonly Fetch[]) => this.#collect(fetches), {
      delayMs: 5,
      mostAtOnce: 500,
      mostRunning: 2,
    })
  }

  async base(signal: AbortSignal): Promise<string> {
    if (this.#base !== undefined) return this.#base
    const script = { what: `making the work directory ${this.#options.base}`, text: openText }
    const answer = await runScript(
      this.#host,
      { ...script, words: [this.#options.base] },
      this.#options.newMark(),
      signal,
    )
    const base = answer.trimEnd()
    if (!base.startsWith('/'))
      throw new EnvironmentError(`${this.#host.name} says where its work directory is with ${answer}`)
    this.#base = base
    return base
  }

  async prepare(
    jobs: readonly NewJob[],
    files: readonly HostFile[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, string>> {
    try {
      return await this.#prepare(jobs, files, signal)
    } catch (error) {
      if (!(error instanceof FileChangedError)) throw error
      this.#trees.forgetAll()
      return await this.#prepare(jobs, files, signal)
    }
  }

  async #prepare(
    jobs: readonly NewJob[],
    files: readonly HostFile[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, string>> {
    const base = await this.base(signal)
    const refused = new Map<JobId, string>()
    const entries: TarEntry[] = []
    const executions = Map.groupBy(jobs, ({ request }) => request.workDirectory)
    for (const [workDirectory, ofExecution] of executions) {
      const linksWithin = ofExecution[0]?.request.linksWithin
      const tree = await this.#trees.tree(workDirectory, linksWithin, signal)
      const froms = new Set(
        ofExecution.flatMap(({ request }) => (request.shared ?? []).map(({ from }) => from)),
      )
      const shared = new Map<string, Awaited<ReturnType<WorkTrees['shared']>>>()
      for (const from of froms) shared.set(from, await this.#trees.shared(from, signal))
      const contents = [
        { content: tree.content, isKept: false },
        ...[...shared.values()].map((content) => ({ content, isKept: true })),
      ]
      await this.#store.ensure(base, keyOf(workDirectory), contents, signal)
      for (const job of ofExecution) {
        try {
          const own = jobEntries(job, { base, tree, shared, prologue: this.#options.prologue })
          for (const entry of own) entries.push(entry)
        } catch (error) {
          refused.set(job.request.id, `Its files cannot be read: ${messageOf(error)}`)
        }
      }
    }
    for (const { path, text } of files) entries.push({ kind: 'text', path, text })
    await this.#send(entries, base, signal)
    return refused
  }

  async look(places: readonly JobPlace[], signal: AbortSignal): Promise<ReadonlyMap<JobId, JobMark>> {
    if (places.length === 0) return new Map()
    const answer = await this.#run('reading exit files', lookText, linesOf(places), signal, {
      priority: 'background',
    })
    const lines = answer.split('\n')
    if (lines.length !== places.length + 1)
      throw new EnvironmentError(`${this.#host.name} answered for other jobs than those asked for.`)
    return new Map(places.map(({ id }, index) => [id, readMark(lines[index] ?? '')]))
  }

  async markCancelled(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    if (places.length === 0) return
    await this.#run('marking jobs as cancelled', cancelText, linesOf(places), signal, { priority: 'urgent' })
  }

  async collect(place: JobPlace, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    const collected = (await this.#fetch({ place, directory, signal })).get(place.id)
    signal.throwIfAborted()
    if (collected === undefined)
      throw new JobFilesGone(
        `Nothing of the job ${place.id} can be collected: its directory is not on ${this.#host.name}.`,
      )
    return collected
  }

  async readPrinted(place: JobPlace, limitBytes: number, signal: AbortSignal): Promise<string> {
    const script = { what: 'reading logs', text: printedText, below: await this.base(signal) }
    const words = [jobPath(place), String(Math.floor(limitBytes / 2))]
    const all: HostScript = { ...script, words, priority: 'background' }
    return runScript(this.#host, all, this.#options.newMark(), signal)
  }

  async remove(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    if (places.length === 0) return
    await this.#run('deleting job directories', removeText, linesOf(places), signal, {
      timeoutMs: removalMs,
    })
    for (const place of places)
      rmSync(logDirectory(this.#options.directory, place), { recursive: true, force: true })
  }

  async find(ids: readonly JobId[], signal: AbortSignal): Promise<readonly FoundJob[]> {
    if (ids.length === 0) return []
    const answer = await this.#run('looking for jobs', findText, ids.join('\n') + '\n', signal)
    return answer.split('\n').flatMap((line) => {
      const [id = '', key, ...note] = line.split(' ')
      return isJobId(id) && isKey(key) ? [{ id, key, note: note.join(' ') }] : []
    })
  }

  async read(paths: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    if (paths.length === 0) return new Map()
    const end = this.#options.newMark()
    const input = paths.join('\n') + '\n'
    const below = await this.base(signal)
    const script = { what: 'reading files', text: readText, input, below, words: [end] }
    const answer = await runScript(this.#host, script, this.#options.newMark(), signal)
    return new Map(
      answer.split(`${end}\n`).flatMap((text) => {
        const at = text.indexOf('\n')
        return at < 0 ? [] : [[text.slice(0, at), text.slice(at + 1)] as const]
      }),
    )
  }

  async write(files: readonly HostFile[], signal: AbortSignal): Promise<void> {
    const entries = files.map(({ path, text }): TarEntry => ({ kind: 'text', path, text }))
    await this.#send(entries, await this.base(signal), signal)
  }

  async discard(workDirectory: string, signal: AbortSignal): Promise<void> {
    this.#trees.forget(workDirectory)
    const key = keyOf(workDirectory)
    const base = await this.base(signal)
    const script = {
      what: 'deleting the files of an execution',
      text: discardText,
      below: base,
      words: [key],
    }
    await runScript(this.#host, { ...script, timeoutMs: removalMs }, this.#options.newMark(), signal)
    await this.#store.release(base, key, signal)
  }

  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    return inspectHost(this.#host, () => this.base(signal), this.#options, signal)
  }

  async #send(entries: readonly TarEntry[], base: string, signal: AbortSignal): Promise<void> {
    const watch = watchTransfer(`${this.#host.name}: sending jobs`, idleMs, signal)
    try {
      const input = Readable.from(watched(tarBytes(entries), watch), { objectMode: false })
      const script: HostScript = { what: 'unpacking jobs', text: prepareText, below: base, input }
      await runScript(
        this.#host,
        { ...script, timeoutMs: unlimitedMs },
        this.#options.newMark(),
        watch.signal,
      )
    } finally {
      watch.stop()
    }
  }

  async #run(
    what: string,
    text: string,
    input: string,
    signal: AbortSignal,
    more: Pick<HostScript, 'timeoutMs' | 'priority'> = {},
  ): Promise<string> {
    const script = { what, text, input, below: await this.base(signal) }
    return runScript(this.#host, { ...script, ...more }, this.#options.newMark(), signal)
  }

  /** One stream for all of them. What one caller gave up is left out; all giving up ends it. */
  async #collect(fetches: readonly Fetch[]): Promise<ReadonlyMap<string, CollectedFiles>> {
    const wanted = fetches.filter(({ signal }) => !signal.aborted)
    const [first] = wanted
    if (first === undefined) return new Map()
    const receipts = new Map(
      wanted.map((fetch) => [jobPath(fetch.place), new Receipt(fetch, this.#options.directory)]),
    )
    const abort = new AbortController()
    const giveUp = (): void => {
      if (wanted.every(({ signal }) => signal.aborted)) abort.abort(first.signal.reason)
    }
    for (const { signal } of wanted) signal.addEventListener('abort', giveUp, { once: true })
    const watch = watchTransfer(`${this.#host.name}: fetching outputs`, idleMs, abort.signal)
    try {
      const base = await this.base(watch.signal)
      for (const receipt of receipts.values()) receipt.open()
      const mark = this.#options.newMark()
      const placeOf: Placing = (path, kind) =>
        receipts.get(path.split('/').slice(0, 4).join('/'))?.placeOf(path, kind)
      const { stream, whole } = receiveOutputs(mark, placeOf, () => watch.moved())
      const { exitCode, stderr } = await this.#host.run(
        {
          argv: bashCommand(collectText, [base, mark]),
          input: [...receipts.keys()].map((path) => `${path}\n`).join(''),
          output: stream,
          timeoutMs: unlimitedMs,
        },
        watch.signal,
      )
      if (exitCode !== 0)
        throw new EnvironmentError(`${this.#host.name}: fetching outputs failed. ${lastLines(stderr)}`)
      await whole
    } finally {
      watch.stop()
      for (const { signal } of wanted) signal.removeEventListener('abort', giveUp)
    }
    return new Map(
      [...receipts.values()].flatMap((receipt) => {
        const collected = receipt.close()
        return collected === undefined ? [] : [[receipt.id, collected] as const]
      }),
    )
  }
}

function linesOf(places: readonly JobPlace[]): string {
  return places.map((place) => `${jobPath(place)}\n`).join('')
}
