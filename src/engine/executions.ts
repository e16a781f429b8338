import { randomUUID } from 'node:crypto'
import { mkdir, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTree } from '../files/remove-tree.ts'
import { TreeSizes } from '../files/tree-size.ts'
import { Problem, toProblem } from '../problem.ts'
import { makeRuntime, type Runtime } from '../script/runtime.ts'
import { snapshotModules } from '../script/snapshot.ts'
import { DatabaseWriter, type Database } from '../store/database.ts'
import { journalSchema, journalVersion } from '../store/journal-schema.ts'
import type { Plan } from '../workflow/plan.ts'
import type {
  ExecutionEvent,
  ExecutionQuery,
  Executions,
  Explanation,
  ExecutionState,
  ExecutionSummary,
  JobPage,
  JobQuery,
  StartRequest,
} from './contract.ts'
import { describeWaiting } from './describe-waiting.ts'
import { ServerEnvironments, type EnvironmentUse } from './environments.ts'
import { entryFacts, ExecutionIndex, nothingKnown, summarize, type IndexEntry } from './execution-index.ts'
import { ExecutionReader, type ActiveExecution } from './execution-reader.ts'
import { withInputs } from './given-inputs.ts'
import { JobAllowances } from './job-allowance.ts'
import { openRun } from './open-run.ts'
import { precedenceOf } from './precedence.ts'
import { prepareExecution, type PreparedExecution } from './prepare-execution.ts'
import type { Run, RunEnding } from './run.ts'
import type { EngineSettings } from './settings.ts'
import { StartKeys } from './start-keys.ts'
import { StartQueue, unlimited } from './start-queue.ts'
import { readJournal, readPlan, refuseDamage, syncDirectories } from './stored-journal.ts'
import { Trackers } from './trackers.ts'
import { describeEnding, writeEnd } from './write-end.ts'

/** Opens a data directory's executions. Those that have not ended go on. */
export async function createExecutions(given: EngineSettings): Promise<Executions> {
  // Boxes are made of paths without links.
  const settings = { ...given, dataDirectory: await realpath(given.dataDirectory) }
  const directory = join(settings.dataDirectory, 'executions')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const trackers = await Trackers.load(settings)
  const runtime = await makeRuntime(join(settings.dataDirectory, 'runtime'))
  const writer = new DatabaseWriter()
  const index = await ExecutionIndex.open(settings.dataDirectory, writer, (message) =>
    settings.warn(message, {}),
  )
  const engine = new Engine(settings, directory, { trackers, runtime, writer, index })
  await engine.resume()
  return engine
}

interface EngineParts {
  readonly trackers: Trackers
  readonly runtime: Runtime
  readonly writer: DatabaseWriter
  readonly index: ExecutionIndex
}

class Engine implements Executions {
  readonly #settings: EngineSettings
  readonly #directory: string
  readonly #trackers: Trackers
  readonly #runtime: Runtime
  readonly #writer: DatabaseWriter
  readonly #index: ExecutionIndex
  readonly #active = new Map<string, ActiveExecution>()
  readonly #reader: ExecutionReader
  readonly #allowances: JobAllowances
  readonly #sizes = new TreeSizes()
  readonly #queue: StartQueue
  readonly #startKeys: StartKeys
  readonly environments: ServerEnvironments
  /** Plans of executions that are about to use their environments. */
  readonly #opening = new Set<{ readonly plan: Plan }>()
  #isClosing = false

  constructor(
    settings: EngineSettings,
    directory: string,
    { trackers, runtime, writer, index }: EngineParts,
  ) {
    this.#settings = settings
    this.#directory = directory
    this.#trackers = trackers
    this.#runtime = runtime
    this.#writer = writer
    this.#index = index
    this.#allowances = new JobAllowances(settings.runningJobsOf ?? (() => Number.POSITIVE_INFINITY))
    this.#startKeys = new StartKeys(index, settings.now)
    this.environments = new ServerEnvironments({
      trackers,
      named: settings.named,
      uses: () => this.#environmentUses(),
      now: settings.now,
    })
    this.#queue = new StartQueue(settings.limits ?? unlimited, async (id) => this.#revive(index.get(id)))
    this.#reader = new ExecutionReader({
      settings,
      directory,
      index,
      active: this.#active,
      queue: this.#queue,
    })
  }

  async start(request: StartRequest): Promise<string> {
    if (this.#isClosing)
      throw new Problem('server-busy', 'The server is stopping.', { retryAfterSeconds: 10 })
    const own = ofOwner(request)
    return this.#startKeys.once(own.idempotency, async () => this.#startNew(own))
  }

  async #startNew(request: StartRequest): Promise<string> {
    const id = randomUUID()
    const directory = join(this.#directory, id)
    this.#queue.reserve()
    let opening: { readonly plan: Plan } | undefined
    try {
      await this.#settings.checkDisk?.()
      const { evaluation, workDirectory } = await this.#prepare(request, directory)
      const plan = await withInputs(evaluation.plan, request.inputs, workDirectory)
      opening = { plan }
      this.#opening.add(opening)
      await snapshotModules(evaluation, workDirectory, join(directory, 'modules'))
      const entry: IndexEntry = {
        id,
        owner: request.owner ?? '',
        labels: request.labels ?? {},
        name: plan.name,
        script: plan.script,
        state: 'running',
        isCancelled: false,
        startedAt: this.#settings.now(),
        endedAt: null,
        directory: 'directory' in request ? request.directory : null,
      }
      const journal = await this.#openJournal(directory)
      journal.write([['setFact', 'plan', JSON.stringify(plan)], ...entryFacts(entry)])
      await journal.flushed()
      await syncDirectories(directory, this.#directory)
      const { idempotency } = request
      const remembered =
        idempotency === undefined ? [] : ExecutionIndex.rememberStart(idempotency, id, entry.startedAt)
      if (!this.#queue.tryRun(id)) {
        await journal.close()
        await this.#index.put(entry, undefined, remembered)
        this.#queue.wait(describeWaiting(summarize(entry), plan))
        return id
      }
      const run = await this.#open(entry, plan, journal)
      await this.#index.put(entry, undefined, remembered)
      this.#begin(run)
      return id
    } catch (error) {
      this.#queue.left(id)
      await removeTree(directory)
      throw toProblem(error)
    } finally {
      if (opening !== undefined) this.#opening.delete(opening)
      this.#queue.release()
    }
  }

  async validate(request: StartRequest): Promise<Plan> {
    const directory = join(this.#directory, `validation-${randomUUID()}`)
    try {
      const { evaluation, workDirectory } = await this.#prepare(request, directory)
      const { plan } = evaluation
      return request.inputs === undefined ? plan : await withInputs(plan, request.inputs, workDirectory)
    } catch (error) {
      throw toProblem(error)
    } finally {
      await removeTree(directory)
    }
  }

  /** Brings unfinished executions back to life, and clears away what a crash has left half made. */
  async resume(): Promise<void> {
    const known = new Set(this.#index.list().map(({ id }) => id))
    for (const name of await readdir(this.#directory))
      if (!known.has(name)) await removeTree(join(this.#directory, name))
    for (const entry of this.#index.list()) {
      if (entry.state !== 'running') continue
      // What was cancelled only has to be told so: that waits for nobody.
      if (entry.isCancelled || this.#queue.tryRun(entry.id)) await this.#revive(entry)
      else this.#queue.wait(this.#reader.describeQueued(entry))
    }
  }

  /** Lets an execution of the index go on where its journal says. What goes wrong is told as its end. */
  async #revive(entry: IndexEntry): Promise<void> {
    const path = join(this.#directory, entry.id, 'journal.db')
    let opening: { readonly plan: Plan } | undefined
    try {
      await refuseDamage(path)
      const journal = await this.#openJournal(join(this.#directory, entry.id))
      const plan = readPlan(journal.reader)
      opening = { plan }
      this.#opening.add(opening)
      const run = await this.#open(entry, plan, journal)
      if (entry.isCancelled) run.stop({ kind: 'cancelled' })
      else this.#begin(run)
    } catch (error) {
      const { message } = toProblem(error)
      this.#settings.warn(`The execution cannot be resumed: ${message}`, { executionId: entry.id })
      const failed = { ...entry, state: 'failed' as const, endedAt: this.#settings.now() }
      await this.#index.put(failed, { ...nothingKnown, ...failed, error: { message } })
      this.#queue.left(entry.id)
    } finally {
      if (opening !== undefined) this.#opening.delete(opening)
    }
  }

  #begin(run: Run): void {
    const { name, script } = run.resources.plan
    if (!run.journal.isResumed) run.journal.event('started', { name, script })
    run.start()
  }

  async ended(id: string, signal: AbortSignal): Promise<ExecutionState> {
    const over = this.#queue.begun(id).then(async () => this.#active.get(id)?.over)
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
    if (await this.#queue.drop(id, async () => this.#endQueued(this.#index.get(id)))) return
    await this.#queue.begun(id)
    const entry = this.#index.get(id)
    const active = this.#active.get(id)
    if (active === undefined) return
    if (entry.state === 'running') {
      await this.#index.put({ ...entry, isCancelled: true })
      active.run.journal.event('cancel', {})
      active.run.stop({ kind: 'cancelled' })
    }
    await active.over
  }

  async #endQueued(known: IndexEntry): Promise<void> {
    const { message } = describeEnding({ kind: 'cancelled' }) ?? { message: '' }
    const endedAt = this.#settings.now()
    const entry: IndexEntry = { ...known, state: 'failed', isCancelled: true, endedAt }
    const last = { ...this.#reader.describeQueued(entry), error: { message } }
    await this.#index.put(entry, last)
    const journal = await this.#openJournal(join(this.#directory, entry.id))
    journal.write(entryFacts(entry, last))
    await journal.flushed()
    await journal.close()
  }

  async remove(id: string): Promise<void> {
    await this.cancel(id)
    await this.#discard(id)
    await this.#index.remove(id)
    await removeTree(join(this.#directory, id))
  }

  #environmentUses(): EnvironmentUse[] {
    return this.#index
      .list()
      .filter(({ state }) => state === 'running')
      .flatMap(({ id }) => usesOf(this.state(id), this.#active.get(id)?.run))
      .concat([...this.#opening].flatMap(({ plan }) => usesToCome(plan)))
  }

  /** Deletes what is left of an execution elsewhere: after a crash at its end nobody else would. */
  async #discard(id: string): Promise<void> {
    try {
      const plan = readJournal(join(this.#directory, id, 'journal.db'), (_reader, found) => found)
      if (plan === undefined) return
      const workDirectory = await realpath(this.workDirectory(id))
      for (const tracker of await this.#trackers.of(plan)) await tracker.discard(workDirectory)
    } catch (error) {
      const { message } = toProblem(error)
      this.#settings.warn(`What it left elsewhere may still be there: ${message}`, { executionId: id })
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

  workDirectory(id: string): string {
    return this.#reader.workDirectory(this.#index.get(id))
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
    return summarize(this.#index.get(id))
  }

  list(query?: ExecutionQuery): readonly ExecutionSummary[] {
    return this.#reader.list(query)
  }

  lookAgain(owner: string): void {
    this.#allowances.lookAgain(owner)
  }

  async storedBytes(id: string): Promise<number> {
    const { state, endedAt } = this.#index.get(id)
    return this.#sizes.of(join(this.#directory, id), state === 'running' ? undefined : endedAt)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    await this.#queue.close()
    const active = [...this.#active.values()]
    for (const { run } of active) run.stop({ kind: 'suspended' })
    // With a full disk, what is not committed was told to nobody, and is done again in the next life.
    this.#writer.waitNoMore()
    // An end that cannot be kept has been warned of, and comes again in the next life.
    await Promise.allSettled(active.map(async ({ over }) => over))
    await this.#trackers.close()
    await this.#index.close()
    await this.#writer.close()
  }

  async #prepare(request: StartRequest, directory: string): Promise<PreparedExecution> {
    const prepared = await prepareExecution(this.#settings, request, directory)
    this.#trackers.validate(prepared.evaluation.plan)
    return prepared
  }

  async #openJournal(directory: string): Promise<Database> {
    return this.#writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
  }

  /** Makes a run of an execution, with all it uses. It does not begin yet. */
  async #open(entry: IndexEntry, plan: Plan, journal: Database): Promise<Run> {
    const { id, owner } = entry
    const allowance = this.#allowances.of(owner)
    const parts = await openRun(this.#settings, {
      id,
      plan,
      journal,
      directory: join(this.#directory, id),
      workDirectory: this.#reader.workDirectory(entry),
      trackers: await this.#trackers.of(plan),
      runtime: this.#runtime,
      allowance,
      precedence: precedenceOf(entry),
    })
    allowance?.add(parts.run)
    const over = parts.run.ended.then(async (ending) =>
      this.#finish(id, parts.run, ending, { ...parts, journal }),
    )
    void over
      .catch((error: unknown) =>
        this.#settings.warn(`The end cannot be kept: ${toProblem(error).message}`, { executionId: id }),
      )
      .finally(() => this.#queue.left(id))
    this.#active.set(id, { ...parts, journal, over })
    return parts.run
  }

  async #finish(
    id: string,
    run: Run,
    ending: RunEnding,
    { host, journal }: Pick<ActiveExecution, 'host' | 'journal'>,
  ): Promise<void> {
    await host.close()
    if (ending.kind !== 'suspended' && !stopsOnFullDisk(journal)) {
      const known = this.#index.get(id)
      // A cancel that was answered wins over an end that came meanwhile.
      const decided: RunEnding = known.isCancelled ? { kind: 'cancelled' } : ending
      const entry: IndexEntry = {
        ...known,
        state: decided.kind === 'finished' ? 'finished' : 'failed',
        endedAt: this.#settings.now(),
      }
      for (const tracker of run.resources.trackers) await tracker.discard(run.resources.paths.workDirectory)
      const last = await writeEnd(entry, run, decided)
      this.environments.ended(usesOf(last, run))
      if (!stopsOnFullDisk(journal)) await this.#index.put({ ...entry, state: last.state }, last)
    }
    // From here on questions are answered from what is stored: nobody meets a journal that is being closed.
    this.#active.delete(id)
    this.#allowances.left(this.#index.get(id).owner, run)
    await journal.close()
  }
}

/** A start whose key is no other user's: keys have no blanks. */
function ofOwner(request: StartRequest): StartRequest {
  const { owner = '', idempotency } = request
  if (owner === '' || idempotency === undefined) return request
  return { ...request, idempotency: { ...idempotency, key: `${owner} ${idempotency.key}` } }
}

/** Whether the server stops while its disk is full. Nobody was told of an end, and the next life comes to it again. */
function stopsOnFullDisk(journal: Database): boolean {
  return journal.failure?.code === 'disk-full'
}

/** The environments of an execution's plan, with those that there are for them. */
function usesOf({ environments }: ExecutionState, run: Run | undefined): EnvironmentUse[] {
  return environments.map((state, index) => ({
    environment: run?.resources.trackers[index]?.environment,
    state,
  }))
}

function usesToCome({ environments }: Plan): EnvironmentUse[] {
  const nothing = { ready: 0, submitted: 0, running: 0, done: 0, failed: 0, errors: [] }
  return environments.map(({ name, kind }) => ({ environment: undefined, state: { name, kind, ...nothing } }))
}
