import { existsSync } from 'node:fs'
import { readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { syncDirectory } from '../files/durable-file.ts'
import { Problem } from '../problem.ts'
import { findDamageAt, readVersion, refuseOtherVersion } from '../store/checksum.ts'
import { readerTimeoutMs, type Database, type DatabaseWriter } from '../store/database.ts'
import { indexSchema, indexVersion, journalVersion, type Write } from '../store/journal-schema.ts'
import type { ExecutionQuery, ExecutionState, ExecutionSummary } from './contract.ts'
import { LabelIndex } from './label-index.ts'
import { copyOlderIndex, olderIndexVersion } from './older-index.ts'

/** What SQLite keeps of one database in WAL mode. */
const databaseSuffixes = ['', '-wal', '-shm']

/** As long as a client may repeat a start: draft-ietf-httpapi-idempotency-key-header leaves it to the server. */
const keyLifetimeMs = 24 * 3_600_000

/** What is known of every execution, ended ones included. */
export interface IndexEntry extends ExecutionSummary {
  /** A work directory that lies elsewhere and is not ours to delete. */
  readonly directory: string | null
}

/** The list of all executions of a data directory. What is put here is committed when the call resolves. */
export class ExecutionIndex {
  readonly #database: Database
  readonly #entries = new Map<string, IndexEntry>()
  readonly #labels = new LabelIndex()

  private constructor(database: Database) {
    this.#database = database
    for (const row of database.reader.prepare('SELECT * FROM executions ORDER BY started_at').all())
      this.#keep({
        id: String(row['id']),
        owner: String(row['owner']),
        labels: JSON.parse(String(row['labels'])) as ExecutionSummary['labels'],
        name: String(row['name']),
        script: String(row['script']),
        directory: row['directory'] as string | null,
        state: row['state'] as ExecutionSummary['state'],
        isCancelled: row['is_cancelled'] === 1,
        startedAt: Number(row['started_at']),
        endedAt: row['ended_at'] as number | null,
      })
  }

  /**
   * Opens `molehill.db` of a data directory. A damaged one is set aside and made anew from the journals of the
   * executions, which hold all that it holds.
   */
  static async open(
    dataDirectory: string,
    writer: DatabaseWriter,
    warn: (message: string) => void,
  ): Promise<ExecutionIndex> {
    const path = join(dataDirectory, 'molehill.db')
    const isOlder = existsSync(path) && readVersion(path) === olderIndexVersion
    if (!isOlder) refuseOtherVersion(path, indexVersion)
    const damage = findDamageAt(path)
    if (damage !== undefined) {
      await setAside(path)
      warn(
        `${path} is damaged (${damage}). It is kept as ${path}.damaged, and made anew from the executions.`,
      )
    }
    const openAt = async (place: string) =>
      new ExecutionIndex(await writer.open(place, indexSchema, indexVersion))
    const isThere = existsSync(path)
    if (!isThere || isOlder) {
      // Under its own name only when it is whole: what the index does not know is cleared away.
      const partial = `${path}.partial`
      await removeDatabase(partial)
      const anew = await openAt(partial)
      try {
        if (isThere) anew.#database.write(copyOlderIndex(path))
        else await anew.#rebuild(join(dataDirectory, 'executions'))
        await anew.#database.flushed()
      } finally {
        await anew.close()
      }
      if (existsSync(`${partial}-wal`)) throw new Problem('disk-full', `${path} cannot be made anew.`)
      // A log that is left of the older one does not belong to the new one.
      for (const suffix of databaseSuffixes.slice(1)) await rm(path + suffix, { force: true })
      await rename(partial, path)
      await syncDirectory(dataDirectory)
    }
    return openAt(path)
  }

  /** Throws Problem execution-unknown. */
  get(id: string): IndexEntry {
    const entry = this.#entries.get(id)
    if (entry === undefined) throw new Problem('execution-unknown', 'Execution not found')
    return entry
  }

  list({ owner, labels = {} }: ExecutionQuery = {}): readonly IndexEntry[] {
    const wanted = Object.entries(labels)
    if (owner === undefined && wanted.length === 0) return [...this.#entries.values()]
    return this.#labels.find(owner, wanted).flatMap((id) => this.#entries.get(id) ?? [])
  }

  #keep(entry: IndexEntry): void {
    this.#entries.set(entry.id, entry)
    this.#labels.add(entry)
  }

  /** The state with which an execution ended. */
  last(id: string): ExecutionState | undefined {
    const row = this.#database.reader.prepare('SELECT last FROM executions WHERE id = ?').get(id)
    const last = row?.['last']
    return typeof last === 'string' ? (JSON.parse(last) as ExecutionState) : undefined
  }

  async put(entry: IndexEntry, last?: ExecutionState, also: readonly Write[] = []): Promise<void> {
    const { id, owner, labels, name, script, directory, state, isCancelled, startedAt, endedAt } = entry
    this.#database.write([
      [
        'putExecution',
        id,
        owner,
        JSON.stringify(labels),
        name,
        script,
        directory,
        state,
        isCancelled ? 1 : 0,
        startedAt,
        endedAt,
        last === undefined ? null : JSON.stringify(last),
      ],
      ...also,
    ])
    // An end is told only when it is on the disk, with all that is told of it.
    if (last === undefined) this.#keep(entry)
    await this.#database.flushed()
    if (last !== undefined) this.#keep(entry)
  }

  /** What a client's key for a start was used for, within the last day. */
  findStart(key: string, now: number): { digest: string; execution: string } | undefined {
    const row = this.#database.reader
      .prepare('SELECT digest, execution FROM start_keys WHERE key = ? AND time >= ?')
      .get(key, now - keyLifetimeMs)
    return row === undefined
      ? undefined
      : { digest: String(row['digest']), execution: String(row['execution']) }
  }

  /** The journal's entries that remember a key with its execution, and forget old ones. */
  static rememberStart(
    { key, digest }: { readonly key: string; readonly digest: string },
    execution: string,
    now: number,
  ): Write[] {
    return [
      ['deleteStartKeys', now - keyLifetimeMs, ''],
      ['putStartKey', key, digest, execution, now],
    ]
  }

  async remove(id: string): Promise<void> {
    this.#database.write([
      ['deleteExecution', id],
      ['deleteStartKeys', 0, id],
    ])
    const entry = this.#entries.get(id)
    this.#entries.delete(id)
    if (entry !== undefined) this.#labels.remove(entry)
    await this.#database.flushed()
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  async #rebuild(executionsDirectory: string): Promise<void> {
    for (const id of await readdir(executionsDirectory)) {
      const path = join(executionsDirectory, id, 'journal.db')
      refuseOtherVersion(path, journalVersion)
      const damage = findDamageAt(path)
      const known = damage === undefined ? readEntry(path) : await setAsideJournal(id, path, damage)
      if (known !== undefined) await this.put(known.entry, known.last)
    }
  }
}

/** The journal's own copy of what the index holds of an execution. */
export function entryFacts(entry: IndexEntry, last?: ExecutionState): Write[] {
  return [
    ['setFact', 'entry', JSON.stringify(entry)],
    ...(last === undefined ? [] : [['setFact', 'last', JSON.stringify(last)] as const]),
  ]
}

/** The part of an entry that clients are told. */
export function summarize(entry: IndexEntry): ExecutionSummary {
  const { id, owner, labels, name, script, state, isCancelled, startedAt, endedAt } = entry
  return { id, owner, labels, name, script, state, isCancelled, startedAt, endedAt }
}

/** What clients are told of an execution of which nothing is known. */
export const nothingKnown = {
  counts: { ready: 0, running: 0, completed: 0, failed: 0 },
  capsules: [],
  environments: [],
} as const

async function removeDatabase(path: string): Promise<void> {
  for (const suffix of databaseSuffixes) await rm(path + suffix, { force: true })
}

/** Renames a database and what belongs to it, so that somebody may look at it. */
export async function setAside(path: string): Promise<void> {
  for (const suffix of databaseSuffixes)
    if (existsSync(path + suffix)) await rename(path + suffix, `${path}.damaged${suffix}`)
}

/** Files of an execution may be all that is left of it: it stays listed until somebody removes it. */
async function setAsideJournal(id: string, path: string, damage: string): Promise<KnownExecution> {
  const { birthtimeMs } = await stat(path)
  await setAside(path)
  const entry: IndexEntry = {
    id,
    owner: '',
    labels: {},
    name: 'unknown',
    script: 'unknown',
    state: 'failed',
    isCancelled: false,
    startedAt: birthtimeMs,
    endedAt: birthtimeMs,
    directory: null,
  }
  const message = `The journal is damaged (${damage}) and is kept as ${path}.damaged.`
  return { entry, last: { ...nothingKnown, ...entry, error: { message } } }
}

const operators = { owner: '', labels: {} }

interface KnownExecution {
  readonly entry: IndexEntry
  readonly last: ExecutionState | undefined
}

function readEntry(path: string): KnownExecution | undefined {
  if (!existsSync(path)) return undefined
  const journal = new DatabaseSync(path, { readOnly: true, timeout: readerTimeoutMs })
  try {
    const fact = journal.prepare('SELECT value FROM facts WHERE name = ?')
    const entry = fact.get('entry')?.['value']
    const last = fact.get('last')?.['value']
    if (typeof entry !== 'string') return undefined
    return {
      // Those of versions without users have neither owner nor labels.
      entry: { ...operators, ...(JSON.parse(entry) as IndexEntry) },
      last: typeof last === 'string' ? (JSON.parse(last) as ExecutionState) : undefined,
    }
  } finally {
    journal.close()
  }
}
