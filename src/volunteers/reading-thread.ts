/**
 * The thread that reads what hosts sent. It may be long, and made to be; requests must not wait for it.
 */
import { parentPort } from 'node:worker_threads'
import { toProblem } from '../problem.ts'
import type { ReadingReply, ReadingRequest } from './read-archives.ts'
import { digestResult } from './result-archive.ts'

parentPort?.on('message', ({ paths }: ReadingRequest) => {
  void readAll(paths).then((reply) => parentPort?.postMessage(reply))
})

async function readAll(paths: readonly string[]): Promise<ReadingReply> {
  try {
    return { kind: 'read', digests: await Promise.all(paths.map(async (path) => digestResult(path))) }
  } catch (error) {
    return { kind: 'failed', message: toProblem(error).message }
  }
}
