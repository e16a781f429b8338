import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { ResultDigest } from './result-archive.ts'

export interface ReadingRequest {
  readonly paths: readonly string[]
}

export type ReadingReply =
  | { readonly kind: 'read'; readonly digests: readonly ResultDigest[] }
  | { readonly kind: 'failed'; readonly message: string }

export interface ArchiveReader {
  /** The digests of archives, in their order; one call at a time. Throws where a file cannot be read for a reason of ours. */
  read(paths: readonly string[]): Promise<readonly ResultDigest[]>
}

/** Reads archives in a thread of its own. Where that dies, the next call starts another. */
export function startArchiveReader(): ArchiveReader {
  let thread: Worker | undefined

  return {
    async read(paths) {
      const { promise, resolve, reject } = Promise.withResolvers<ReadingReply>()
      const worker = (thread ??= new Worker(
        new URL(`./reading-thread${extname(import.meta.url)}`, import.meta.url),
      ))
      const die = (why: string): void => {
        thread = undefined
        reject(new Error(why))
      }
      worker.once('message', resolve)
      worker.once('error', (error) => die(error.message))
      worker.once('exit', () => die('The thread that reads results has ended.'))
      try {
        worker.postMessage({ paths } satisfies ReadingRequest)
        const reply = await promise
        if (reply.kind === 'failed') throw new Error(reply.message)
        return reply.digests
      } finally {
        worker.removeAllListeners()
        // Between calls too, an error of the thread must not be one of ours.
        worker.on('error', () => undefined)
        worker.once('exit', () => {
          if (thread === worker) thread = undefined
        })
      }
    },
  }
}
