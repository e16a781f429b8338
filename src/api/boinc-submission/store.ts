import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { inTransaction, openDialectDatabase } from '../../store/dialect-database.ts'
import type { BatchReference } from './read-request.ts'
import { submissionTables } from './store-schema.ts'

/** A batch as it is kept. Times are milliseconds since 1970; 0 is never. */
export interface BatchRecord {
  readonly id: number
  readonly owner: string
  readonly name: string
  readonly app: string
  readonly generation: 'first' | 'third'
  readonly phase: 'init' | 'making' | 'started'
  readonly isPrepared: boolean
  readonly jobs: number
  readonly createdAt: number
  readonly submittedAt: number
  readonly expireAt: number
  readonly abortedAt: number
  readonly retiredAt: number
  readonly estimatedSeconds: number
  /** Empty where there is none: a batch without jobs has nothing to run. */
  readonly execution: string
  /** Of the key that it was submitted with. */
  readonly keyId: string
  /** What stands for the authenticator where the protocol sends only a digest of it. */
  readonly digest: Uint8Array | null
}

export interface JobRecord {
  readonly id: number
  readonly batch: number
  /** Position in the batch, from 0. */
  readonly number: number
  readonly owner: string
  readonly name: string
  readonly abortedAt: number
  /** As `digest` of a batch: of the job's id, then of its first instances, 16 bytes each. */
  readonly digests: Uint8Array | null
}

export interface FileRecord {
  readonly name: string
  readonly sha256: string
  readonly bytes: number
  readonly usedAt: number
  /** 0 where nobody has said. */
  readonly deleteAt: number
}

type Row = Readonly<Record<string, unknown>>

/**
 * Batches, their jobs and uploaded files. Small and local: one connection, every change is on the disk when a method
 * returns. Who may see what is for the caller to ask: everything has an owner.
 */
export class SubmissionStore implements Disposable {
  readonly #database: DatabaseSync

  /** @param path of the database of dialects; `:memory:` for tests. */
  constructor(path: string) {
    this.#database = openDialectDatabase(path, submissionTables)
  }

  /** All changes of `action`, or none. */
  transaction<T>(action: () => T): T {
    return inTransaction(this.#database, action)
  }

  addBatch(
    batch: Omit<BatchRecord, 'id' | 'execution' | 'keyId' | 'digest' | 'abortedAt' | 'retiredAt'>,
  ): number {
    const { owner, name, app, generation, phase, isPrepared, jobs } = batch
    const { createdAt, submittedAt, expireAt, estimatedSeconds } = batch
    return this.#run(
      `INSERT INTO boinc_batches (owner, name, app, generation, phase, is_prepared, jobs, created_at, submitted_at,
        expire_at, aborted_at, retired_at, estimated_seconds, execution, key_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, '', '')`,
      owner,
      name,
      app,
      generation,
      phase,
      Number(isPrepared),
      jobs,
      createdAt,
      submittedAt,
      expireAt,
      estimatedSeconds,
    )
  }

  /** Changes what is given of a batch. */
  changeBatch(id: number, change: Partial<Omit<BatchRecord, 'id' | 'owner' | 'isPrepared'>>): void {
    const columns = Object.entries(change).map(([key, value]) => [columnOf(key), value] as const)
    if (columns.length === 0) return
    this.#run(
      `UPDATE boinc_batches SET ${columns.map(([column]) => `${column} = ?`).join(', ')} WHERE id = ?`,
      ...columns.map(([, value]) => value as SQLInputValue),
      id,
    )
  }

  deleteBatch(id: number): void {
    this.deleteJobs(id)
    this.#run('DELETE FROM boinc_batches WHERE id = ?', id)
  }

  /** One batch of a user; of several with the same name, the newest one. */
  batch(owner: string, reference: BatchReference): BatchRecord | undefined {
    const row =
      'id' in reference
        ? this.#get('SELECT * FROM boinc_batches WHERE owner = ? AND id = ?', owner, reference.id)
        : this.#get(
            'SELECT * FROM boinc_batches WHERE owner = ? AND name = ? ORDER BY id DESC',
            owner,
            reference.name,
          )
    return row === undefined ? undefined : readBatchRow(row)
  }

  /** All batches of a user, or of everybody, oldest first. */
  batches(owner?: string): readonly BatchRecord[] {
    return this.#all(
      'SELECT * FROM boinc_batches WHERE owner = ifnull(?, owner) ORDER BY id',
      owner ?? null,
    ).map((row) => readBatchRow(row))
  }

  /**
   * Adds the jobs of a batch, in their order, and answers with their ids. Where a name is in use nothing must be kept:
   * call it in a transaction. Throws the name, as a NameInUse.
   */
  addJobs(batch: number, owner: string, names: readonly string[]): readonly number[] {
    const statement = this.#database.prepare(
      'INSERT OR IGNORE INTO boinc_jobs (batch, number, owner, name, aborted_at) VALUES (?, ?, ?, ?, 0)',
    )
    return names.map((name, number) => {
      const { changes, lastInsertRowid } = statement.run(batch, number, owner, name)
      if (Number(changes) === 0) throw new NameInUse(name)
      return Number(lastInsertRowid)
    })
  }

  keepDigests(id: number, digests: Uint8Array): void {
    this.#run('UPDATE boinc_jobs SET digests = ? WHERE id = ?', digests, id)
  }

  deleteJobs(batch: number): void {
    this.#run('DELETE FROM boinc_jobs WHERE batch = ?', batch)
  }

  /** The jobs of a batch by their position. */
  jobs(batch: number): readonly JobRecord[] {
    return this.#all('SELECT * FROM boinc_jobs WHERE batch = ? ORDER BY number', batch).map((row) =>
      readJobRow(row),
    )
  }

  /** One job of a user: by its id, its name, or its position in a batch. */
  job(
    owner: string,
    wanted:
      | { readonly id: number }
      | { readonly name: string }
      | { readonly batch: number; readonly number: number },
  ): JobRecord | undefined {
    const row =
      'id' in wanted
        ? this.#get('SELECT * FROM boinc_jobs WHERE owner = ? AND id = ?', owner, wanted.id)
        : 'name' in wanted
          ? this.#get('SELECT * FROM boinc_jobs WHERE owner = ? AND name = ?', owner, wanted.name)
          : this.#get(
              'SELECT * FROM boinc_jobs WHERE owner = ? AND batch = ? AND number = ?',
              owner,
              wanted.batch,
              wanted.number,
            )
    return row === undefined ? undefined : readJobRow(row)
  }

  /** Jobs of that name, whoever has them: where the answer depends on a digest. */
  jobsNamed(name: string): readonly JobRecord[] {
    return this.#all('SELECT * FROM boinc_jobs WHERE name = ?', name).map((row) => readJobRow(row))
  }

  /** A batch or job by its id, whoever has it: where the answer depends on a digest. */
  anyBatch(id: number): BatchRecord | undefined {
    const row = this.#get('SELECT * FROM boinc_batches WHERE id = ?', id)
    return row === undefined ? undefined : readBatchRow(row)
  }

  anyJob(id: number): JobRecord | undefined {
    const row = this.#get('SELECT * FROM boinc_jobs WHERE id = ?', id)
    return row === undefined ? undefined : readJobRow(row)
  }

  abortJobs(ids: readonly number[], at: number): void {
    const statement = this.#database.prepare(
      'UPDATE boinc_jobs SET aborted_at = ? WHERE id = ? AND aborted_at = 0',
    )
    this.transaction(() => ids.forEach((id) => statement.run(at, id)))
  }

  /** How many jobs of a batch were aborted one by one. */
  abortedJobs(batch: number): number {
    return Number(
      this.#get('SELECT count(*) AS jobs FROM boinc_jobs WHERE batch = ? AND aborted_at > 0', batch)?.[
        'jobs'
      ],
    )
  }

  file(owner: string, name: string): FileRecord | undefined {
    const row = this.#get('SELECT * FROM boinc_files WHERE owner = ? AND name = ?', owner, name)
    return row === undefined ? undefined : readFileRow(row)
  }

  putFile(owner: string, { name, sha256, bytes, usedAt, deleteAt }: FileRecord): void {
    this.#run(
      'INSERT OR REPLACE INTO boinc_files VALUES (?, ?, ?, ?, ?, ?)',
      owner,
      name,
      sha256,
      bytes,
      usedAt,
      deleteAt,
    )
  }

  /** Ties a file to a batch: it stays as long as that is under way. */
  useFile(owner: string, name: string, batch: number): void {
    this.#run('INSERT OR IGNORE INTO boinc_file_uses VALUES (?, ?, ?)', owner, name, batch)
  }

  batchesOfFile(owner: string, name: string): readonly number[] {
    return this.#all('SELECT batch FROM boinc_file_uses WHERE owner = ? AND name = ?', owner, name).map(
      (row) => Number(row['batch']),
    )
  }

  /** Every file with its owner. */
  files(): readonly (FileRecord & { readonly owner: string })[] {
    return this.#all('SELECT * FROM boinc_files').map((row) => ({
      ...readFileRow(row),
      owner: String(row['owner']),
    }))
  }

  filesOf(owner: string): readonly FileRecord[] {
    return this.#all('SELECT * FROM boinc_files WHERE owner = ?', owner).map((row) => readFileRow(row))
  }

  /** Forgets all that there is of a user. */
  forget(owner: string): void {
    this.transaction(() => {
      for (const table of ['batches', 'jobs', 'files', 'file_uses'])
        this.#run(`DELETE FROM boinc_${table} WHERE owner = ?`, owner)
    })
  }

  deleteFile(owner: string, name: string): void {
    this.transaction(() => {
      this.#run('DELETE FROM boinc_files WHERE owner = ? AND name = ?', owner, name)
      this.#run('DELETE FROM boinc_file_uses WHERE owner = ? AND name = ?', owner, name)
    })
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }

  #run(sql: string, ...parameters: readonly SQLInputValue[]): number {
    return Number(this.#database.prepare(sql).run(...parameters).lastInsertRowid)
  }

  #get(sql: string, ...parameters: readonly SQLInputValue[]): Row | undefined {
    return this.#database.prepare(sql).get(...parameters)
  }

  #all(sql: string, ...parameters: readonly SQLInputValue[]): readonly Row[] {
    return this.#database.prepare(sql).all(...parameters)
  }
}

/** A job of that name is there already. */
export class NameInUse extends Error {
  override readonly name = 'NameInUse'
  readonly jobName: string

  constructor(jobName: string) {
    super(`a job named ${jobName} exists already`)
    this.jobName = jobName
  }
}

function columnOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function readBatchRow(row: Row): BatchRecord {
  return {
    id: Number(row['id']),
    owner: String(row['owner']),
    name: String(row['name']),
    app: String(row['app']),
    generation: row['generation'] as BatchRecord['generation'],
    phase: row['phase'] as BatchRecord['phase'],
    isPrepared: row['is_prepared'] === 1,
    jobs: Number(row['jobs']),
    createdAt: Number(row['created_at']),
    submittedAt: Number(row['submitted_at']),
    expireAt: Number(row['expire_at']),
    abortedAt: Number(row['aborted_at']),
    retiredAt: Number(row['retired_at']),
    estimatedSeconds: Number(row['estimated_seconds']),
    execution: String(row['execution']),
    keyId: String(row['key_id']),
    digest: row['digest'] as Uint8Array | null,
  }
}

function readJobRow(row: Row): JobRecord {
  return {
    id: Number(row['id']),
    batch: Number(row['batch']),
    number: Number(row['number']),
    owner: String(row['owner']),
    name: String(row['name']),
    abortedAt: Number(row['aborted_at']),
    digests: row['digests'] as Uint8Array | null,
  }
}

function readFileRow(row: Row): FileRecord {
  return {
    name: String(row['name']),
    sha256: String(row['sha256']),
    bytes: Number(row['bytes']),
    usedAt: Number(row['used_at']),
    deleteAt: Number(row['delete_at']),
  }
}
