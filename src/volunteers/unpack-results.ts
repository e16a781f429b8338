import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Problem, type ProblemCode } from '../problem.ts'
import { unpackResult } from './result-archive.ts'

export interface UnpackingRequest {
  readonly path: string
  readonly target: string
}

export type UnpackingReply =
  | { readonly kind: 'unpacked' }
  | { readonly kind: 'refused'; readonly code: ProblemCode; readonly message: string }
  /** It is large, or something is wrong that is not the archive's fault. */
  | { readonly kind: 'not-here' }

export interface ResultUnpacker {
  /** As `unpackResult`. */
  unpack(path: string, target: string): Promise<void>
  /** Ends what is under way: it throws. */
  close(): Promise<void>
}

/** Packed bytes of a result that is unpacked without a process of its own, which takes a hundred times as long. */
const smallBytes = 1024 ** 2
const heapMegabytes = 128

/**
 * Unpacks results, each by the gate for all that comes from outside: small ones one after the other in a thread, with
 * narrow limits; whatever does not fit them by a process of its own. Where the thread dies, the next one starts another.
 */
export function startResultUnpacker(): ResultUnpacker {
  let thread: Worker | undefined
  let asked: ((reply: UnpackingReply) => void)[] = []
  const closing = new AbortController()

  function start(): Worker {
    const worker = new Worker(new URL(`./unpack-thread${extname(import.meta.url)}`, import.meta.url), {
      name: 'unpacking',
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
    })
    worker.unref()
    worker.on('message', (reply: UnpackingReply) => asked.shift()?.(reply))
    // What is told of it comes with its end.
    worker.on('error', () => undefined)
    worker.on('exit', () => {
      if (thread === worker) thread = undefined
      const left = asked
      asked = []
      for (const answer of left) answer({ kind: 'not-here' })
    })
    return worker
  }

  async function ask(request: UnpackingRequest): Promise<UnpackingReply> {
    const { promise, resolve } = Promise.withResolvers<UnpackingReply>()
    thread ??= start()
    asked.push(resolve)
    thread.postMessage(request)
    return promise
  }

  return {
    async unpack(path, target) {
      closing.signal.throwIfAborted()
      const isSmall = (await stat(path)).size <= smallBytes
      const reply: UnpackingReply = isSmall ? await ask({ path, target }) : { kind: 'not-here' }
      if (reply.kind === 'refused') throw new Problem(reply.code, reply.message)
      if (reply.kind === 'not-here') await unpackResult(path, target, closing.signal)
    },
    async close() {
      closing.abort(new Error('The environment is closed.'))
      await thread?.terminate()
    },
  }
}
