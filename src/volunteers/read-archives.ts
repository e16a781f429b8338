import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Tolerance } from '../environment/volunteers.ts'
import type { ResultDigest } from './result-archive.ts'
import type { Sameness } from '../environment/sameness.ts'

export type ReadingRequest =
  | { readonly kind: 'read'; readonly paths: readonly string[] }
  | {
      readonly kind: 'compare'
      readonly left: string
      readonly right: string
      readonly tolerance: Tolerance
    }

export type ReadingReply =
  | { readonly kind: 'read'; readonly digests: readonly ResultDigest[] }
  | { readonly kind: 'compared'; readonly sameness: Sameness }
  | { readonly kind: 'failed'; readonly message: string }

/** One call at a time. Calls throw where a file cannot be read for a reason of ours. */
export interface ArchiveReader {
  /** The digests of archives, in their order. */
  read(paths: readonly string[]): Promise<readonly ResultDigest[]>
  /** Whether two archives that can be read are the same. */
  compare(left: string, right: string, tolerance: Tolerance): Promise<Sameness>
  close(): Promise<void>
}

/** Reads archives in a thread of its own. Where that dies, the next call starts another. */
export function startArchiveReader(): ArchiveReader {
  let thread: Worker | undefined
  let tell: (reply: ReadingReply) => void = () => undefined

  function start(): Worker {
    const worker = new Worker(new URL(`./reading-thread${extname(import.meta.url)}`, import.meta.url), {
      name: 'results',
    })
    const die = (message: string): void => {
      if (thread === worker) thread = undefined
      tell({ kind: 'failed', message })
    }
    worker.on('message', (reply: ReadingReply) => tell(reply))
    worker.on('error', (error) => die(error.message))
    worker.on('exit', () => die('The thread that reads results has ended.'))
    return worker
  }

  async function ask(request: ReadingRequest): Promise<Exclude<ReadingReply, { kind: 'failed' }>> {
    const { promise, resolve } = Promise.withResolvers<ReadingReply>()
    tell = resolve
    thread ??= start()
    thread.postMessage(request)
    const reply = await promise
    if (reply.kind === 'failed') throw new Error(reply.message)
    return reply
  }

  return {
    async read(paths) {
      const reply = await ask({ kind: 'read', paths })
      return reply.kind === 'read' ? reply.digests : []
    },
    async compare(left, right, tolerance) {
      const reply = await ask({ kind: 'compare', left, right, tolerance })
      return reply.kind === 'compared'
        ? reply.sameness
        : { kind: 'unclear', message: 'Nothing was compared.' }
    },
    async close() {
      await thread?.terminate()
    },
  }
}
