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
  close(): Promise<void>
}

/** Reads archives in a thread of its own. Where that dies, the next call starts another. */
export function startArchiveReader(): ArchiveReader {
  let thread: Worker | undefined
  let tell: (reply: ReadingReply) => void = () => undefined

  function start(): Worker {
    const worker = new Worker(new URL(`./reading-thread${extname(import.meta.url)}`, import.meta.url))
    const die = (message: string): void => {
      if (thread === worker) thread = undefined
      tell({ kind: 'failed', message })
    }
    worker.on('message', (reply: ReadingReply) => tell(reply))
    worker.on('error', (error) => die(error.message))
    worker.on('exit', () => die('The thread that reads results has ended.'))
    return worker
  }

  return {
    async read(paths) {
      const { promise, resolve } = Promise.withResolvers<ReadingReply>()
      tell = resolve
      thread ??= start()
      thread.postMessage({ paths } satisfies ReadingRequest)
      const reply = await promise
      if (reply.kind === 'failed') throw new Error(reply.message)
      return reply.digests
    },
    async close() {
      await thread?.terminate()
    },
  }
}
