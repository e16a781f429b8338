/**
 * The thread in which all databases are written. A commit waits for the disk, and that must not be the server's
 * main thread. One message is one transaction.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { parentPort } from 'node:worker_threads'
import { checksumOf, sealSchema } from './checksum.ts'
import { statements, type StatementName, type Write } from './journal-schema.ts'
import { messageOf } from '../problem.ts'

export type DatabaseRequest =
  | {
      readonly kind: 'open'
      readonly request: number
      readonly path: string
      readonly schema: string
      readonly version: number
    }
  | {
      readonly kind: 'write'
      readonly request: number
      readonly path: string
      readonly writes: readonly Write[]
    }
  | { readonly kind: 'close'; readonly request: number; readonly path: string }

export type DatabaseReply =
  | { readonly request: number; readonly kind: 'done' }
  | {
      readonly request: number
      readonly kind: 'failed'
      readonly message: string
      readonly isOutOfSpace: boolean
    }

interface OpenDatabase {
  readonly database: DatabaseSync
  readonly prepared: Map<StatementName, StatementSync>
}

const open = new Map<string, OpenDatabase>()

parentPort?.on('message', (request: DatabaseRequest) => {
  try {
    handle(request)
    reply({ request: request.request, kind: 'done' })
  } catch (error) {
    const message = messageOf(error)
    reply({ request: request.request, kind: 'failed', message, isOutOfSpace: isOutOfSpace(error) })
  }
})

/** SQLITE_FULL, or SQLITE_IOERR_SHMSIZE: no room for the index of the log. */
function isOutOfSpace(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && [13, 4874].includes(Number(error.errcode))
}

function reply(message: DatabaseReply): void {
  parentPort?.postMessage(message)
}

function handle(request: DatabaseRequest): void {
  switch (request.kind) {
    case 'open':
      openDatabase(request.path, request.schema, request.version)
      return
    case 'write':
      writeAll(request.path, request.writes)
      return
    case 'close':
      open.get(request.path)?.database.close()
      open.delete(request.path)
  }
}

function openDatabase(path: string, schema: string, version: number): void {
  if (open.has(path)) return
  const database = new DatabaseSync(path)
  try {
    // FULL syncs every commit: what was acknowledged outlives a power cut.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;')
    const found = Number(database.prepare('PRAGMA user_version').get()?.['user_version'])
    if (found === 0) {
      database.exec(`BEGIN; ${schema} PRAGMA user_version = ${version};`)
      sealSchema(database)
      database.exec('COMMIT')
    } else if (found !== version)
      throw new Error(`${path} has version ${found}, expected ${version}; use the Molehill that wrote it.`)
  } catch (error) {
    database.close()
    throw error
  }
  open.set(path, { database, prepared: new Map() })
}

function writeAll(path: string, writes: readonly Write[]): void {
  const opened = open.get(path)
  if (opened === undefined) throw new Error(`${path} is not open.`)
  const { database, prepared } = opened
  database.exec('BEGIN IMMEDIATE')
  try {
    for (const [name, ...columns] of writes) {
      let statement = prepared.get(name)
      if (statement === undefined) prepared.set(name, (statement = database.prepare(statements[name].sql)))
      if (statements[name].isPut) statement.run(...columns, checksumOf(columns))
      else statement.run(...columns)
    }
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
