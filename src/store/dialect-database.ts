import { DatabaseSync } from 'node:sqlite'
import { Problem } from '../problem.ts'

/** Tables of one dialect. Raise the version when one of them changes. */
export interface DialectTables {
  readonly dialect: string
  readonly version: number
  /** Statements that make them. */
  readonly schema: string
}

const busyTimeoutMs = 5000

/**
 * Opens the database of what dialects keep besides executions, and makes a dialect's tables when they are not there.
 * A write is on the disk when its call returns: there are few of them, one or two a request. Several connections may be
 * open. Throws Problem configuration-invalid for tables of another version.
 */
export function openDialectDatabase(path: string, { dialect, version, schema }: DialectTables): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
  try {
    // FULL syncs every commit: what was acknowledged outlives a power cut.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;')
    inTransaction(database, () => {
      database.exec('CREATE TABLE IF NOT EXISTS dialects (name TEXT PRIMARY KEY, version INTEGER NOT NULL)')
      const found = database.prepare('SELECT version FROM dialects WHERE name = ?').get(dialect)?.['version']
      if (found === undefined) {
        database.exec(schema)
        database.prepare('INSERT INTO dialects VALUES (?, ?)').run(dialect, version)
      } else if (found !== version)
        throw new Problem(
          'configuration-invalid',
          `${path} has tables of ${dialect} in version ${String(found)}; expected ${version}.`,
          { hint: 'Use the Molehill that wrote it, or another data directory.' },
        )
    })
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** All that `work` writes, or nothing of it. */
export function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
