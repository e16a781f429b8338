import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { messageOf, Problem } from '../problem.ts'
import type { Column } from './journal-schema.ts'

/** CRC-32 over all columns of a row but the checksum itself. Finds a flipped bit, which SQLite by itself does not. */
export function checksumOf(columns: readonly Column[]): number {
  return crc32(JSON.stringify(columns))
}

/**
 * Keeps a checksum of a database's version and tables in its application id, which SQLite leaves to its users: see
 * https://www.sqlite.org/pragma.html#pragma_application_id. Belongs into the transaction that makes the tables.
 */
export function sealSchema(database: DatabaseSync): void {
  database.exec(`PRAGMA application_id = ${schemaChecksum(database)}`)
}

/** A new database has neither tables nor a checksum. */
function isSchemaWhole(database: DatabaseSync): boolean {
  return sealOf(database) === (hasTables(database) ? schemaChecksum(database) : 0)
}

/**
 * Throws Problem configuration-invalid where another Molehill has made the database in a file. It is not damaged then,
 * and is left as it is. A changed version does not look like that, as the checksum of the tables is over it too.
 */
export function refuseOtherVersion(path: string, expected: number): void {
  const found = existsSync(path) ? readVersion(path) : undefined
  if (found === undefined || found === expected) return
  const message = `${path} has version ${found}, expected ${expected}: another version of Molehill made it.`
  const hint = 'Start the version that made it, or choose another directory by --data-directory.'
  throw new Problem('configuration-invalid', message, { hint })
}

/** Undefined where nothing can be said of the version: the database is new or damaged. */
export function readVersion(path: string): number | string | undefined {
  try {
    using database = new DatabaseSync(path)
    if (!hasTables(database)) return undefined
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
    // The first databases had no checksum of their tables.
    if (sealOf(database) === 0) return `${version} without a checksum`
    return isSchemaWhole(database) ? version : undefined
  } catch {
    return undefined
  }
}

function sealOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA application_id').get()?.['application_id'])
}

function hasTables(database: DatabaseSync): boolean {
  return database.prepare('SELECT 1 FROM sqlite_schema').get() !== undefined
}

/** A signed number of 32 bits, as the application id is, and not 0. */
function schemaChecksum(database: DatabaseSync): number {
  const version = database.prepare('PRAGMA user_version').get()
  const schema = database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid').all()
  return crc32(JSON.stringify([version, schema])) | 0 || 1
}

/** What is wrong with the database in a file; undefined where there is no file, or nothing wrong with it. */
export function findDamageAt(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  try {
    const database = new DatabaseSync(path)
    try {
      return findDamage(database)
    } finally {
      database.close()
    }
  } catch (error) {
    return messageOf(error)
  }
}

/**
 * What is wrong with a database, in words that name table and row, or undefined when every page and every row is as
 * it was written. Reads all of it.
 */
export function findDamage(database: DatabaseSync): string | undefined {
  try {
    const [check] = database.prepare('PRAGMA quick_check(1)').all()
    const verdict = String(Object.values(check ?? {})[0])
    if (verdict !== 'ok') return verdict
    if (!isSchemaWhole(database)) return 'the description of its tables is not as it was written'
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
    for (const { name } of tables) {
      const table = String(name)
      for (const row of database.prepare(`SELECT * FROM "${table}"`).iterate()) {
        const columns = Object.values(row) as Column[]
        if (columns.pop() !== checksumOf(columns))
          return `a row of the table ${table} is not as it was written: ${JSON.stringify(columns[0])}`
      }
    }
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
