import type { Database, TransactionEnd } from '../store/database.ts'
import type { Column, Write } from '../store/journal-schema.ts'
import type { JobState } from './contract.ts'
import type { JobHandle, JobId } from '../environment/environment.ts'
import type { Graph } from './graph.ts'
import type { Job } from './job.ts'
import type { StoredAttempt } from './stored-attempts.ts'
import { Tally, type Totals } from './tally.ts'

/**
 * An execution's journal as its run writes it. All that is recorded without a pause is in one transaction, and each
 * transaction ends with an event that tells of its jobs and with the totals as they are then.
 */
export class RunJournal {
  readonly database: Database
  readonly tally: Tally
  /** Whether an earlier life of the server has begun this execution. */
  readonly isResumed: boolean
  readonly #graph: Graph
  readonly #now: () => number
  readonly #endTransaction: () => () => void
  #moves = new Map<string, number[]>()
  #lastJob: number
  #lastExploration: number
  #lastEvent: number
  #nextCommit = Promise.withResolvers<void>()

  constructor(
    database: Database,
    options: {
      graph: Graph
      environments: number
      now: () => number
      /** Called when a transaction is put together; what it gives is called when that one is committed. */
      endTransaction: () => () => void
    },
  ) {
    this.database = database
    this.#graph = options.graph
    this.#now = options.now
    this.#endTransaction = options.endTransaction
    const totals = this.#column("SELECT value FROM facts WHERE name = 'totals'")
    this.isResumed = totals !== null
    this.tally = new Tally(
      options.graph.steps.length,
      options.environments,
      totals === null ? undefined : (JSON.parse(String(totals)) as Totals),
    )
    this.#lastJob = Number(this.#column('SELECT max(id) FROM jobs'))
    this.#lastExploration = Number(this.#column('SELECT max(id) FROM explorations'))
    this.#lastEvent = Number(this.#column('SELECT max(sequence) FROM events'))
    database.endTransactions(() => this.#end())
  }

  nextJobId(): number {
    this.#lastJob += 1
    return this.#lastJob
  }

  nextExplorationId(): number {
    this.#lastExploration += 1
    return this.#lastExploration
  }

  record(writes: readonly Write[]): void {
    this.database.write(writes)
  }

  /** Resolves when all that was recorded so far is on the disk. Throws Problem when it cannot be written. */
  async flushed(): Promise<void> {
    await this.database.flushed()
  }

  /** Resolves when something more has been committed. */
  async nextCommit(): Promise<void> {
    return this.#nextCommit.promise
  }

  /** Notes a job's new state for the next event. */
  moved({ id, activation }: Job, state: JobState): void {
    const step = this.#graph.steps[activation.step]
    const key = `${step?.kind === 'capsule' ? step.name : ''} ${state}`
    const ids = this.#moves.get(key)
    if (ids === undefined) this.#moves.set(key, [id])
    else ids.push(id)
    this.database.write([])
  }

  event(kind: string, data: Readonly<Record<string, unknown>>): void {
    this.record([...this.#tellMoves(), this.#writeEvent(kind, data)])
  }

  /** The row of a job of an earlier life of the server. */
  find(
    step: number,
    ticket: string,
  ): { id: number; state: JobState; attempts: number; output: string | null } | undefined {
    const row = this.database.reader
      .prepare('SELECT id, state, attempts, output FROM jobs WHERE step = ? AND ticket = ?')
      .get(step, ticket)
    if (row === undefined) return undefined
    const output = row['output']
    return {
      id: Number(row['id']),
      state: row['state'] as JobState,
      attempts: Number(row['attempts']),
      output: typeof output === 'string' ? output : null,
    }
  }

  /** Attempts of earlier lives of the server that had not ended. */
  unendedAttempts(): StoredAttempt[] {
    if (!this.isResumed) return []
    return this.database.reader
      .prepare('SELECT * FROM attempts WHERE ended_at IS NULL')
      .all()
      .map((row) => ({
        id: String(row['id']) as JobId,
        jobs: JSON.parse(String(row['jobs'])) as number[],
        number: Number(row['number']),
        environment: Number(row['environment']),
        handle: typeof row['handle'] === 'string' ? (JSON.parse(row['handle']) as JobHandle) : undefined,
        startedAt: Number(row['started_at']),
      }))
  }

  #column(sql: string): Column {
    const row = this.database.reader.prepare(sql).get()
    return row === undefined ? null : ((Object.values(row)[0] ?? null) as Column)
  }

  #writeEvent(kind: string, data: Readonly<Record<string, unknown>>): Write {
    this.#lastEvent += 1
    return ['putEvent', this.#lastEvent, this.#now(), kind, JSON.stringify(data)]
  }

  #tellMoves(): Write[] {
    if (this.#moves.size === 0) return []
    const jobs = [...this.#moves].map(([key, ids]) => {
      const [capsule, state] = key.split(' ')
      return { capsule, state, ids }
    })
    this.#moves = new Map()
    return [this.#writeEvent('jobs', { jobs })]
  }

  /** What a transaction ends with: an event that tells of the jobs in it, and the totals as they are then. */
  #end(): TransactionEnd {
    const snapshot = this.tally.snapshot()
    const committed = this.#endTransaction()
    return {
      writes: [...this.#tellMoves(), ['setFact', 'totals', JSON.stringify(snapshot.totals)]],
      committed: () => {
        this.tally.commit(snapshot)
        committed()
        this.#nextCommit.resolve()
        this.#nextCommit = Promise.withResolvers()
      },
    }
  }
}
