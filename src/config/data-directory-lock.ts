import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import { Problem } from '../problem.ts'

/** Says that the data directory is ours. Held until released, or until this process ends in whatever way. */
export interface DataDirectoryLock extends Disposable {
  /** May be called again. */
  release(): void
}

const holderSchema = z.object({ pid: z.int(), host: z.string(), since: z.string() })

/** https://sqlite.org/rescode.html#busy */
const sqliteBusy = 5

/**
 * Takes the data directory for this process. A second holder, in this process or another, is refused with a
 * Problem('configuration-invalid') that names the first.
 *
 * The lock is SQLite's exclusive lock on `lock.db`: the kernel drops it when its holder dies, so there is nothing to
 * clean up after a kill. `lock.json` only tells who holds it. Nothing else may open `lock.db`: closing any other
 * descriptor of it would drop the lock (POSIX advisory locks, see fcntl(2)).
 */
export function lockDataDirectory(directory: string, now: () => number): DataDirectoryLock {
  const holderFile = join(directory, 'lock.json')
  const database = takeLock(directory, holderFile)
  try {
    const holder = { pid: process.pid, host: hostname(), since: new Date(now()).toISOString() }
    writeFileSync(holderFile, `${JSON.stringify(holder)}\n`, { mode: 0o600 })
  } catch (error) {
    database.close()
    throw error
  }
  const release = () => {
    if (!database.isOpen) return
    rmSync(holderFile, { force: true })
    database.close()
  }
  return { release, [Symbol.dispose]: release }
}

function takeLock(directory: string, holderFile: string): DatabaseSync {
  const path = join(directory, 'lock.db')
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path)
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (cause) {
    database?.close()
    if (!isBusy(cause))
      throw new Problem(
        'configuration-invalid',
        `The data directory cannot be locked: ${path}: ${String(cause)}.`,
        {
          hint: 'Its file system must support locks. If the file is damaged, delete it while no server is running.',
          cause,
        },
      )
    throw new Problem(
      'configuration-invalid',
      `The data directory ${directory} is in use by ${describeHolder(holderFile)}.`,
      { hint: 'Stop that one first, or name another directory with --data-directory.', cause },
    )
  }
}

function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    // The low byte is the code, the rest only refines it.
    (error.errcode & 0xff) === sqliteBusy
  )
}

function describeHolder(holderFile: string): string {
  try {
    const { pid, host, since } = holderSchema.parse(JSON.parse(readFileSync(holderFile, 'utf8')))
    return `process ${pid}${host === hostname() ? '' : ` on ${host}`}, since ${since}`
  } catch {
    // The holder has just begun and not yet written who it is.
    return 'another process'
  }
}
