import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { pending, running, terminalStates, type JobEnd, type JobStanding } from './job-state.ts'

/** What is kept of a job beyond its execution, and beyond the execution's life. */
export interface StoredJob {
  /** A UUID with hyphens. */
  readonly id: string
  readonly owner: string
  readonly app: string
  /** As it was sent. */
  readonly dataInputs: unknown
  /** `job_inputs`, and `job_options` where they came so. */
  readonly echo: Readonly<Record<string, unknown>>
  /** Options that were sent and that the app does not have. */
  readonly ignored: readonly string[]
  readonly tag: string
  /** Milliseconds since 1970. */
  readonly submittedAt: number
  /** Undefined until it is started. */
  readonly execution: string | undefined
  /** The client's key for this submission, and a digest of all it sent. */
  readonly key: string | undefined
  readonly digest: string
  readonly state: JobStanding['state'] | JobEnd['state']
  readonly status: string
  readonly exitCode: number
  /** Undefined until it has ended: then it is on the record. */
  readonly elapsedSeconds: number | undefined
  /** Size of its files; undefined until it was measured. */
  readonly bytes: number | undefined
}

export type NewJob = Omit<
  StoredJob,
  'execution' | 'state' | 'status' | 'exitCode' | 'elapsedSeconds' | 'bytes'
>

/** Jobs of all users. What is written is on the disk when the call returns. */
export interface StoredJobs {
  add(job: NewJob): void
  find(id: string, owner: string | undefined): StoredJob | undefined
  findByKey(key: string, owner: string): StoredJob | undefined
  /** In the order in which they came; `owner` undefined means those of all. */
  list(owner: string | undefined): readonly StoredJob[]
  /** Those that have not ended, as far as is written. */
  listLive(owner: string | undefined): readonly StoredJob[]
  /** Those that have ended and were not measured yet, at most so many. */
  listUnmeasured(limit: number): readonly StoredJob[]
  setExecution(id: string, execution: string): void
  setRunning(id: string): void
  /** Writes how a job ended, unless that is written already. */
  setEnd(id: string, end: JobEnd, elapsedSeconds: number): void
  setBytes(id: string, bytes: number): void
  remove(id: string): void
  /** Names of all who have any. */
  owners(): readonly string[]
  /** Forgets the jobs of a user that are older than that, in milliseconds since 1970. */
  removeOlder(owner: string, before: number): void
  totals(owner: string | undefined): JobTotals
  /** Bytes of what is on record of a user's jobs. */
  recordedBytes(owner: string): number
}

/** Sums over jobs. */
export interface JobTotals {
  readonly byState: Readonly<Record<string, number>>
  /** Jobs that ended with exit code 126: their environment was to blame. */
  readonly environmentsFaults: number
  readonly bytes: number
  readonly elapsedSeconds: number
  readonly completedSeconds: number
}

const columns = 16
const live = "state IN ('PENDING', 'RUNNING')"

export function openStoredJobs(database: DatabaseSync): StoredJobs {
  const insert = database.prepare(`INSERT INTO caesar_jobs VALUES (${Array(columns).fill('?').join(', ')})`)
  const select = database.prepare('SELECT * FROM caesar_jobs WHERE id = ?')
  const selectByKey = database.prepare('SELECT * FROM caesar_jobs WHERE key = ? AND owner = ?')
  const selectMany = (where: string) =>
    database.prepare(`SELECT * FROM caesar_jobs WHERE ${where} ORDER BY submitted_at, id`)
  const ownedBy = '(? IS NULL OR owner = ?)'
  const selectAll = selectMany(ownedBy)
  const selectLive = selectMany(`${live} AND ${ownedBy}`)
  const selectUnmeasured = database.prepare(
    `SELECT * FROM caesar_jobs WHERE bytes IS NULL AND NOT ${live} LIMIT ?`,
  )
  const update = (set: string, where = 'id = ?') =>
    database.prepare(`UPDATE caesar_jobs SET ${set} WHERE ${where}`)
  const updateExecution = update('execution = ?')
  const updateRunning = update('state = ?, status = ?', "id = ? AND state = 'PENDING'")
  const updateEnd = update('state = ?, status = ?, exit_code = ?, elapsed_s = ?', `id = ? AND ${live}`)
  const updateBytes = update('bytes = ?')
  const recorded = ['app', 'data_inputs', 'echo', 'ignored', 'tag'].map((column) => `octet_length(${column})`)
  const sumRecorded = database.prepare(
    `SELECT sum(${recorded.join(' + ')}) AS bytes FROM caesar_jobs WHERE owner = ?`,
  )
  const deleteOne = database.prepare('DELETE FROM caesar_jobs WHERE id = ?')
  const deleteOwn = database.prepare('DELETE FROM caesar_jobs WHERE owner = ? AND submitted_at < ?')
  const selectOwners = database.prepare('SELECT DISTINCT owner FROM caesar_jobs')
  const sums = database.prepare(`
    SELECT state, count(*) AS jobs, sum(exit_code = 126) AS faults, sum(coalesce(bytes, 0)) AS bytes,
      sum(elapsed_s) AS elapsed
    FROM caesar_jobs WHERE ${ownedBy} GROUP BY state`)
  const owned = (owner: string | undefined) => [owner ?? null, owner ?? null] as const

  return {
    add(job) {
      const { id, owner, app, dataInputs, echo, ignored, tag, submittedAt, key, digest } = job
      const [data, told, unknown] = [dataInputs, echo, ignored].map((each) => JSON.stringify(each))
      const { state, status } = pending
      const request = [id, owner, app, data ?? '""', told ?? '{}', unknown ?? '[]', tag] as const
      insert.run(...request, submittedAt, null, key ?? null, digest, state, status, -1, 0, null)
    },
    find(id, owner) {
      const row = select.get(id)
      const job = row === undefined ? undefined : jobOf(row)
      return owner === undefined || job?.owner === owner ? job : undefined
    },
    findByKey(key, owner) {
      const row = selectByKey.get(key, owner)
      return row === undefined ? undefined : jobOf(row)
    },
    list: (owner) => selectAll.all(...owned(owner)).map((row) => jobOf(row)),
    listLive: (owner) => selectLive.all(...owned(owner)).map((row) => jobOf(row)),
    listUnmeasured: (limit) => selectUnmeasured.all(limit).map((row) => jobOf(row)),
    setExecution: (id, execution) => void updateExecution.run(execution, id),
    setRunning: (id) => void updateRunning.run(running.state, running.status, id),
    setEnd: (id, { state, status, exitCode }, elapsedSeconds) =>
      void updateEnd.run(state, status, exitCode, elapsedSeconds, id),
    setBytes: (id, bytes) => void updateBytes.run(bytes, id),
    remove: (id) => void deleteOne.run(id),
    owners: () => selectOwners.all().map((row) => String(row['owner'])),
    removeOlder: (owner, before) => void deleteOwn.run(owner, before),
    recordedBytes: (owner) => Number(sumRecorded.get(owner)?.['bytes'] ?? 0),
    totals(owner) {
      const rows = sums.all(...owned(owner))
      const sum = (column: string, counted = rows) =>
        counted.reduce((total, row) => total + Number(row[column]), 0)
      return {
        byState: Object.fromEntries(rows.map((row) => [String(row['state']), Number(row['jobs'])])),
        environmentsFaults: sum('faults'),
        bytes: sum('bytes'),
        elapsedSeconds: sum('elapsed'),
        completedSeconds: sum(
          'elapsed',
          rows.filter((row) => row['state'] === 'SUCCESS'),
        ),
      }
    },
  }
}

export function hasEnded({ state }: Pick<StoredJob, 'state'>): boolean {
  return terminalStates.some((each) => each === state)
}

function jobOf(row: Record<string, SQLOutputValue>): StoredJob {
  const state = String(row['state']) as StoredJob['state']
  return {
    id: String(row['id']),
    owner: String(row['owner']),
    app: String(row['app']),
    dataInputs: JSON.parse(String(row['data_inputs'])) as unknown,
    echo: JSON.parse(String(row['echo'])) as StoredJob['echo'],
    ignored: JSON.parse(String(row['ignored'])) as string[],
    tag: String(row['tag']),
    submittedAt: Number(row['submitted_at']),
    execution: optionalText(row['execution']),
    key: optionalText(row['key']),
    digest: String(row['digest']),
    state,
    status: String(row['status']),
    exitCode: Number(row['exit_code']),
    elapsedSeconds: hasEnded({ state }) ? Number(row['elapsed_s']) : undefined,
    bytes: row['bytes'] === null || row['bytes'] === undefined ? undefined : Number(row['bytes']),
  }
}

function optionalText(value: SQLOutputValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
