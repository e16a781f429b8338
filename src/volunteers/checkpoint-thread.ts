/**
 * The thread that brings the project's database up to date with SQLite's log: https://www.sqlite.org/wal.html#ckpt
 */
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { toProblem } from '../problem.ts'
import type { CheckpointReply } from './checkpoints.ts'

const busyTimeoutMs = 5000
/** A log of some 32 MB begins anew. For that commits wait, for as long as it takes to carry over the last few. */
const pagesAtMost = 8192

const path = String(workerData)

function checkpoint(): CheckpointReply {
  try {
    // Opened for each pass, so that whoever closes the project is the last and leaves no log.
    using database = new DatabaseSync(path, { timeout: busyTimeoutMs })
    database.exec('PRAGMA synchronous = FULL')
    const { log } = database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get() as { log: number }
    if (log >= pagesAtMost) database.exec('PRAGMA wal_checkpoint(RESTART)')
    return {}
  } catch (error) {
    return { failure: toProblem(error).message }
  }
}

parentPort?.on('message', () => parentPort?.postMessage(checkpoint()))
