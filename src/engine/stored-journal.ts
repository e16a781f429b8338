import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Problem } from '../problem.ts'
import { findDamageAt, refuseOtherVersion } from '../store/checksum.ts'
import { readerTimeoutMs, type Database, type DatabaseWriter } from '../store/database.ts'
import { journalSchema, journalVersion } from '../store/journal-schema.ts'
import type { Plan } from '../workflow/plan.ts'
import { setAside } from './execution-index.ts'

/** Opens the journal in an execution's directory, which is made where there is none. */
export async function openJournal(writer: DatabaseWriter, directory: string): Promise<Database> {
  return writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
}

/** Reads something of a journal that no run has open. Undefined where there is no journal any more. */
export function readJournal<Result>(
  path: string,
  read: (reader: DatabaseSync, plan: Plan) => Result,
): Result | undefined {
  if (!existsSync(path)) return undefined
  const reader = new DatabaseSync(path, { readOnly: true, timeout: readerTimeoutMs })
  try {
    return read(reader, readPlan(reader))
  } finally {
    reader.close()
  }
}

/** The plan that a journal holds. */
export function readPlan(reader: DatabaseSync): Plan {
  const row = reader.prepare("SELECT value FROM facts WHERE name = 'plan'").get()
  if (row === undefined) throw new Problem('internal', 'The journal holds no plan.')
  return JSON.parse(String(row['value'])) as Plan
}

/** Sets a damaged journal aside and throws Problem; does nothing to a whole one, but throws at one of another version. */
export async function refuseDamage(path: string): Promise<void> {
  refuseOtherVersion(path, journalVersion)
  const damage = findDamageAt(path)
  if (damage === undefined) return
  await setAside(path)
  throw new Problem('internal', `Its journal is damaged (${damage}) and is kept as ${path}.damaged.`)
}

/** A new file is safe only when the directories that lead to it are. */
export async function syncDirectories(...directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    const handle = await open(directory)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
}
