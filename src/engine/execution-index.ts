import { Problem } from '../problem.ts'
import type { Database } from '../store/database.ts'
import type { ExecutionState, ExecutionSummary } from './contract.ts'

/** What is known of every execution, ended ones included. */
export interface IndexEntry extends ExecutionSummary {
  /** A work directory that lies elsewhere and is not ours to delete. */
  readonly directory: string | null
}

/** The list of all executions of a data directory. What is put here is committed when the call resolves. */
export class ExecutionIndex {
  readonly #database: Database
  readonly #entries = new Map<string, IndexEntry>()

  constructor(database: Database) {
    this.#database = database
    for (const row of database.reader.prepare('SELECT * FROM executions ORDER BY started_at').all())
      this.#entries.set(String(row['id']), {
        id: String(row['id']),
        name: String(row['name']),
        script: String(row['script']),
        directory: row['directory'] as string | null,
        state: row['state'] as ExecutionSummary['state'],
        isCancelled: row['is_cancelled'] === 1,
        startedAt: Number(row['started_at']),
        endedAt: row['ended_at'] as number | null,
      })
  }

  /** Throws Problem execution-unknown. */
  get(id: string): IndexEntry {
    const entry = this.#entries.get(id)
    if (entry === undefined) throw new Problem('execution-unknown', 'Execution not found')
    return entry
  }

  list(): readonly IndexEntry[] {
    return [...this.#entries.values()]
  }

  /** The state with which an execution ended. */
  last(id: string): ExecutionState | undefined {
    const row = this.#database.reader.prepare('SELECT last FROM executions WHERE id = ?').get(id)
    const last = row?.['last']
    return typeof last === 'string' ? (JSON.parse(last) as ExecutionState) : undefined
  }

  async put(entry: IndexEntry, last?: ExecutionState): Promise<void> {
    const { id, name, script, directory, state, isCancelled, startedAt, endedAt } = entry
    this.#database.write([
      [
        'putExecution',
        id,
        name,
        script,
        directory,
        state,
        isCancelled ? 1 : 0,
        startedAt,
        endedAt,
        last === undefined ? null : JSON.stringify(last),
      ],
    ])
    this.#entries.set(id, entry)
    await this.#database.flushed()
  }

  async remove(id: string): Promise<void> {
    this.#database.write([['deleteExecution', id]])
    this.#entries.delete(id)
    await this.#database.flushed()
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}
