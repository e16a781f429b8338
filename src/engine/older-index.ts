import { DatabaseSync } from 'node:sqlite'
import { readerTimeoutMs } from '../store/database.ts'
import type { Column, Write } from '../store/journal-schema.ts'

/** The index of Molehill before it had users, which is still read. */
export const olderIndexVersion = 2

/** What writes all that an older index holds into a new one. Its executions are the operator's. */
export function copyOlderIndex(path: string): readonly Write[] {
  const reader = new DatabaseSync(path, { readOnly: true, timeout: readerTimeoutMs })
  try {
    const rows = (sql: string): Column[][] =>
      reader
        .prepare(sql)
        .all()
        .map((row) => Object.values(row) as Column[])
    const executions = rows(
      'SELECT id, name, script, directory, state, is_cancelled, started_at, ended_at, last FROM executions',
    )
    const keys = rows('SELECT key, digest, execution, time FROM start_keys')
    return [
      ...executions.map(([id = '', ...others]): Write => ['putExecution', id, '', '{}', ...others]),
      ...keys.map((columns): Write => ['putStartKey', ...columns]),
    ]
  } finally {
    reader.close()
  }
}
