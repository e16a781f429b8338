/**
 * The thread that reads what hosts sent. It may be long, and made to be; requests must not wait for it.
 */
import { parentPort } from 'node:worker_threads'
import { toProblem } from '../problem.ts'
import { compareNumbers } from './numbers-agree.ts'
import type { ReadingReply, ReadingRequest } from './read-archives.ts'
import { digestResult } from './result-archive.ts'

parentPort?.on('message', (request: ReadingRequest) => {
  void answer(request).then((reply) => parentPort?.postMessage(reply))
})

async function answer(request: ReadingRequest): Promise<ReadingReply> {
  try {
    if (request.kind === 'compare') {
      const { left, right, tolerance } = request
      return { kind: 'compared', sameness: await compareNumbers(left, right, tolerance) }
    }
    const digests = await Promise.all(request.paths.map(async (path) => digestResult(path)))
    return { kind: 'read', digests }
  } catch (error) {
    return { kind: 'failed', message: toProblem(error).message }
  }
}
