import { mkdir, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTree } from '../files/remove-tree.ts'
import { TreeSizes } from '../files/tree-size.ts'
import { Problem, toProblem } from '../problem.ts'
import { makeRuntime } from '../script/runtime.ts'
import { DatabaseWriter } from '../store/database.ts'
import type { Plan } from '../workflow/plan.ts'
import { ActiveExecutions } from './active-executions.ts'
import type {
  ExecutionEvent,
  ExecutionQuery,
  Executions,
  Explanation,
  ExecutionState,
  ExecutionSummary,
  JobPage,
  JobQuery,
  Printing,
  StartRequest,
} from './contract.ts'
import type { EngineParts } from './engine-parts.ts'
import { usesOf } from './environment-uses.ts'
import { ServerEnvironments, type EnvironmentUse } from './environments.ts'
import { entryFacts, ExecutionIndex, summarize, type IndexEntry } from './execution-index.ts'
import { ExecutionReader } from './execution-reader.ts'
import { ExecutionStarter } from './execution-starter.ts'
import type { EngineSettings } from './settings.ts'
import { StartQueue, unlimited } from './start-queue.ts'
import { openJournal, readJournal } from './stored-journal.ts'
import { Trackers } from './trackers.ts'
import { describeEnding } from './write-end.ts'

/** Opens a data directory's executions. Those that have not ended go on. */
export async function createExecutions(given: EngineSettings): Promise<Executions> {
  // Boxes are made of paths without links.
  const settings = { ...given, dataDirectory: await realpath(given.dataDirectory) }
  const directory = join(settings.dataDirectory, 'executions')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const trackers = await Trackers.load(settings)
  const runtime = await makeRuntime(join(settings.dataDirectory, 'runtime'), settings.now())
  const writer = new DatabaseWriter()
  const index = await ExecutionIndex.open(settings.dataDirectory, writer, (message) =>
    settings.warn(message, {}),
  )
  const engine = new Engine({ settings, directory, trackers, runtime, writer, index })
  await engine.resume()
  return engine
}

class Engine implements Executions {
  readonly #parts: EngineParts
  readonly #active: ActiveExecutions
  readonly #reader: ExecutionReader
  readonly #starter: ExecutionStarter
  readonly #sizes = new TreeSizes()
  readonly #queue: StartQueue
  readonly environments: ServerEnvironments
  #isClosing = false

  constructor(parts: EngineParts) {
    const { settings, directory, index } = parts
    this.#parts = parts
    this.#active = new ActiveExecutions(parts, {
      workDirectory: (entry) => this.#reader.workDirectory(entry),
      left: (id) => this.#queue.left(id),
      ended: (uses) => this.environments.ended(uses),
    })
    this.#queue = new StartQueue(settings.limits ?? unlimited, async (id) =>
      this.#active.revive(index.get(id)),
    )
    this.#reader = new ExecutionReader({
      settings,
      directory,
      index,
      active: this.#active.byId,
      queue: this.#queue,
    })
    this.#starter = new ExecutionStarter(parts, this.#queue, this.#active)
    this.environments = new ServerEnvironments({
      trackers: parts.trackers,
      named: settings.named,
      uses: () => this.#environmentUses(),
      now: settings.now,
    })
  }

  async start(request: StartRequest): Promise<string> {
    if (this.#isClosing)
      throw new Problem('server-busy', 'The server is stopping.', { retryAfterSeconds: 10 })
    return this.#starter.start(request)
  }

  async validate(request: StartRequest): Promise<Plan> {
    return this.#starter.validate(request)
  }

  /** Brings unfinished executions back to life, and clears away what is left of others, here and elsewhere. */
  async resume(): Promise<void> {
    const known = new Set(this.#parts.index.list().map(({ id }) => id))
    for (const name of await readdir(this.#parts.directory))
      if (!known.has(name)) await removeTree(join(this.#parts.directory, name))
    for (const entry of this.#parts.index.list()) {
      if (entry.state !== 'running') continue
      // What was cancelled only has to be told so: that waits for nobody.
      if (entry.isCancelled || this.#queue.tryRun(entry.id)) await this.#active.revive(entry)
      else this.#queue.wait(this.#reader.describeQueued(entry))
    }
    await this.#parts.trackers.resumeChores()
  }

  async ended(id: string, signal: AbortSignal): Promise<ExecutionState> {
    const over = this.#queue.begun(id).then(async () => this.#active.byId.get(id)?.over)
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([over, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
    return this.state(id)
  }

  async cancel(id: string): Promise<void> {
    if (await this.#queue.drop(id, async () => this.#endQueued(this.#parts.index.get(id)))) return
    await this.#queue.begun(id)
    const entry = this.#parts.index.get(id)
    const active = this.#active.byId.get(id)
    if (active === undefined) return
    if (entry.state === 'running') {
      await this.#parts.index.put({ ...entry, isCancelled: true })
      active.run.journal.event('cancel', {})
      active.run.stop({ kind: 'cancelled' })
    }
    await active.over
  }

  async #endQueued(known: IndexEntry): Promise<void> {
    const { message } = describeEnding({ kind: 'cancelled' }) ?? { message: '' }
    const endedAt = this.#parts.settings.now()
    const entry: IndexEntry = { ...known, state: 'failed', isCancelled: true, endedAt }
    const last = { ...this.#reader.describeQueued(entry), error: { message } }
    await this.#parts.index.put(entry, last)
    const journal = await openJournal(this.#parts.writer, join(this.#parts.directory, entry.id))
    journal.write(entryFacts(entry, last))
    await journal.flushed()
    await journal.close()
  }

  async remove(id: string): Promise<void> {
    await this.cancel(id)
    await this.#discard(id)
    await this.#parts.index.remove(id)
    await removeTree(join(this.#parts.directory, id))
  }

  #environmentUses(): EnvironmentUse[] {
    return this.#parts.index
      .list()
      .filter(({ state }) => state === 'running')
      .flatMap(({ id }) => usesOf(this.state(id), this.#active.byId.get(id)?.run))
      .concat(this.#active.usesToCome)
  }

  /** Deletes what is left of an execution elsewhere: after a crash at its end nobody else would. */
  async #discard(id: string): Promise<void> {
    try {
      const plan = readJournal(join(this.#parts.directory, id, 'journal.db'), (_reader, found) => found)
      if (plan === undefined) return
      const workDirectory = await realpath(this.workDirectory(id))
      for (const tracker of await this.#parts.trackers.of(plan)) await tracker.discard(workDirectory)
    } catch (error) {
      const { message } = toProblem(error)
      this.#parts.settings.warn(`What it left elsewhere may still be there: ${message}`, { executionId: id })
    }
  }

  get queueLength(): number {
    return this.#queue.length
  }

  state(id: string): ExecutionState {
    return this.#reader.state(id)
  }

  output(id: string): Promise<string> {
    return this.#reader.output(id)
  }

  printing(id: string): Promise<readonly Printing[]> {
    return this.#reader.printing(id)
  }

  workDirectory(id: string): string {
    return this.#reader.workDirectory(this.#parts.index.get(id))
  }

  jobs(id: string, query: JobQuery): JobPage {
    return this.#reader.jobs(id, query)
  }

  events(id: string, after: number, signal: AbortSignal): AsyncIterable<ExecutionEvent> {
    return this.#reader.events(id, after, signal)
  }

  explain(id: string, job?: number): readonly Explanation[] {
    return this.#reader.explain(id, job)
  }

  summary(id: string): ExecutionSummary {
    return summarize(this.#parts.index.get(id))
  }

  list(query?: ExecutionQuery): readonly ExecutionSummary[] {
    return this.#reader.list(query)
  }

  lookAgain(owner: string): void {
    this.#active.lookAgain(owner)
  }

  async storedBytes(id: string): Promise<number> {
    const { state, endedAt } = this.#parts.index.get(id)
    return this.#sizes.of(join(this.#parts.directory, id), state === 'running' ? undefined : endedAt)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    await this.#queue.close()
    const active = this.#active.suspend()
    // With a full disk, what is not committed was told to nobody, and is done again in the next life.
    this.#parts.writer.waitNoMore()
    // An end that cannot be kept has been warned of, and comes again in the next life.
    await Promise.allSettled(active.map(async ({ over }) => over))
    await this.#parts.trackers.close()
    await this.#parts.index.close()
    await this.#parts.writer.close()
  }
}
