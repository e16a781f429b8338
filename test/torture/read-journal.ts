import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { executionDirectory } from './server.ts'

/** The server that has the journal open holds it for a moment when it closes it. */
const lockedForMs = 10_000

/** When the completed jobs of an execution ended, by step and ticket. */
export function completedJobs(dataDirectory: string, id: string): ReadonlyMap<string, number> {
  const path = join(executionDirectory(dataDirectory, id), 'journal.db')
  if (!existsSync(path)) return new Map()
  const journal = new DatabaseSync(path, { readOnly: true, timeout: lockedForMs })
  try {
    const rows = journal.prepare("SELECT step, ticket, ended_at FROM jobs WHERE state = 'completed'").all()
    return new Map(
      rows.map((row) => [`${String(row['step'])} ${String(row['ticket'])}`, Number(row['ended_at'])]),
    )
  } finally {
    journal.close()
  }
}

/** How often the function has run for each sample, by its own account. */
export function functionRuns(dataDirectory: string, id: string): ReadonlyMap<string, number> {
  const path = join(executionDirectory(dataDirectory, id), 'work', 'runs.log')
  if (!existsSync(path)) return new Map()
  const counts = new Map<string, number>()
  for (const line of readFileSync(path, 'utf8').split('\n'))
    if (line !== '') counts.set(line, (counts.get(line) ?? 0) + 1)
  return counts
}
