import { DatabaseSync } from 'node:sqlite'
import { Problem } from '../problem.ts'
import { inTransaction } from '../store/dialect-database.ts'
import { projectSchema, projectVersion } from './schema.ts'

const busyTimeoutMs = 5000
/** Rows of a hundred thousand hosts and of the work that they have. */
const cacheKibibytes = 64 * 1024

/**
 * Opens the project's database, and makes its tables where it is new. Throws Problem configuration-invalid for tables of
 * another version.
 *
 * @param accountsSchema statements that make the table `accounts`
 */
export function openProjectDatabase(path: string, accountsSchema: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
  try {
    // FULL syncs every commit: what a host was told outlives a power cut.
    database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -${cacheKibibytes};`,
    )
    inTransaction(database, () => {
      const found = Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
      if (found === 0)
        database.exec(`${projectSchema} ${accountsSchema}; PRAGMA user_version = ${projectVersion};`)
      else if (found !== projectVersion)
        throw new Problem(
          'configuration-invalid',
          `${path} has tables in version ${found}; expected ${projectVersion}.`,
          { hint: 'Use the Molehill that wrote it, or another data directory.' },
        )
    })
    return database
  } catch (error) {
    database.close()
    throw error
  }
}
