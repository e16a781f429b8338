import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Problem } from '../problem.ts'
import type { Database } from '../store/database.ts'
import type {
  ExecutionEvent,
  ExecutionQuery,
  Explanation,
  ExecutionState,
  ExecutionSummary,
  JobPage,
  JobQuery,
  Printing,
} from './contract.ts'
import { describeRun } from './describe-run.ts'
import { describeWaiting } from './describe-waiting.ts'
import { nothingKnown, summarize, type ExecutionIndex, type IndexEntry } from './execution-index.ts'
import { explainEnded, explainJob, explainRun } from './explain.ts'
import { followEvents } from './follow-events.ts'
import { listJobs } from './list-jobs.ts'
import { openOutput, type OpenedRun } from './open-run.ts'
import type { EngineSettings } from './settings.ts'
import type { StartQueue } from './start-queue.ts'
import { readJournal } from './stored-journal.ts'

/** An execution under way and what it uses. */
export interface ActiveExecution extends OpenedRun {
  readonly journal: Database
  /** Resolves when the end is committed and everything is let go of. */
  readonly over: Promise<void>
}

interface ReaderParts {
  readonly settings: EngineSettings
  /** Holds a directory for each execution. */
  readonly directory: string
  readonly index: ExecutionIndex
  readonly active: ReadonlyMap<string, ActiveExecution>
  readonly queue: StartQueue
}

/** Answers questions about executions, from memory while they are under way and from what is stored otherwise. */
export class ExecutionReader {
  readonly #settings: EngineSettings
  readonly #directory: string
  readonly #index: ExecutionIndex
  readonly #active: ReadonlyMap<string, ActiveExecution>
  readonly #queue: StartQueue

  constructor({ settings, directory, index, active, queue }: ReaderParts) {
    this.#settings = settings
    this.#directory = directory
    this.#index = index
    this.#active = active
    this.#queue = queue
  }

  state(id: string): ExecutionState {
    const entry = this.#index.get(id)
    const active = this.#active.get(id)
    // What is kept at the end tells why as well.
    if (active !== undefined && entry.state === 'running') return describeRun(summarize(entry), active.run)
    const { owner, labels } = entry
    const last = this.#index.last(id)
    // What was kept before there were users has neither.
    return (
      this.#queue.stateOf(id) ??
      (last === undefined ? { ...nothingKnown, ...summarize(entry) } : { ...last, owner, labels })
    )
  }

  /** What is told of an execution that waits for its turn. */
  describeQueued(entry: IndexEntry): ExecutionState {
    const path = join(this.#directory, entry.id, 'journal.db')
    const unknown = { ...nothingKnown, ...summarize(entry) }
    try {
      return readJournal(path, (_reader, plan) => describeWaiting(summarize(entry), plan)) ?? unknown
    } catch {
      // What is wrong with the journal is told when its turn comes.
      return unknown
    }
  }

  async output(id: string): Promise<string> {
    this.#index.get(id)
    const active = this.#active.get(id)
    const log = active?.output ?? (await openOutput(this.#settings, join(this.#directory, id)))
    return log.read()
  }

  async printing(id: string): Promise<readonly Printing[]> {
    this.#index.get(id)
    return (await this.#active.get(id)?.run.printing()) ?? []
  }

  workDirectory({ id, directory }: IndexEntry): string {
    return directory ?? join(this.#directory, id, 'work')
  }

  jobs(id: string, query: JobQuery): JobPage {
    this.#index.get(id)
    const active = this.#active.get(id)
    if (active !== undefined)
      return listJobs(active.journal.reader, active.run.resources.plan, active.run.live, query)
    const path = join(this.#directory, id, 'journal.db')
    return readJournal(path, (reader, plan) => listJobs(reader, plan, [], query)) ?? { jobs: [], next: null }
  }

  events(id: string, after: number, signal: AbortSignal): AsyncIterable<ExecutionEvent> {
    this.#index.get(id)
    const path = join(this.#directory, id, 'journal.db')
    if (!existsSync(path)) throw new Problem('file-missing', 'The events of this execution are lost.')
    const aborted = new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    return followEvents(path, after, {
      signal,
      isOver: () => !this.#active.has(id) && this.#queue.stateOf(id) === undefined,
      news: async () => {
        await Promise.race([this.#queue.begun(id), aborted])
        const active = this.#active.get(id)
        if (active !== undefined) await Promise.race([active.run.journal.nextCommit(), active.over, aborted])
      },
    })
  }

  explain(id: string, job?: number): readonly Explanation[] {
    this.#index.get(id)
    const run = this.#active.get(id)?.run
    const queued = this.#queue.stateOf(id)
    if (job === undefined && queued !== undefined)
      return queued.capsules.map(({ name }) => ({
        subject: name,
        state: 'ready',
        reason: 'The execution waits in the queue until another one has ended.',
      }))
    if (job === undefined) return run === undefined ? [] : explainRun(run)
    const live = run?.live.find((each) => each.id === job)
    if (run !== undefined && live !== undefined) return [explainJob(run, live)]
    const [row] = this.jobs(id, { after: job - 1, limit: 1 }).jobs
    if (row?.id !== job) throw new Problem('parameter-invalid', `There is no job ${job} in this execution.`)
    return [explainEnded(row)]
  }

  list(query?: ExecutionQuery): readonly ExecutionSummary[] {
    return this.#index.list(query).map((entry) => summarize(entry))
  }
}
