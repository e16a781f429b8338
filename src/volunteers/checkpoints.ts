import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/** Between two passes: each has little to write then, and the disk is soon free again for what waits to be synced. */
const pauseMs = 100
/** After one that failed. */
const againMs = 30_000

export type CheckpointReply = { readonly failure?: string }

export interface Checkpoints {
  /** Something was committed: it is carried over before long. */
  want(): void
  /** Ends the thread. */
  close(): Promise<void>
}

/**
 * Carries what was committed over from SQLite's log into the database, in a thread of its own: done amid the commits, as
 * SQLite does it by itself, it held up those who waited for an answer.
 */
export function startCheckpoints(path: string, warn: (message: string) => void): Checkpoints {
  let thread: Worker | undefined
  let isUnderWay = false
  let isWanted = false
  let isClosed = false

  const end = (failure: string | undefined): void => {
    if (isClosed) return
    if (failure !== undefined) warn(`${path} cannot be brought up to date: ${failure}`)
    setTimeout(goOn, failure === undefined ? pauseMs : againMs).unref()
  }

  const goOn = (): void => {
    isUnderWay = false
    if (isWanted) begin()
  }

  const start = (): Worker => {
    const worker = new Worker(new URL(`./checkpoint-thread${extname(import.meta.url)}`, import.meta.url), {
      name: 'checkpoints',
      workerData: path,
    })
    let failure = 'Its thread has ended.'
    worker.on('message', (reply: CheckpointReply) => end(reply.failure))
    worker.on('error', (error) => (failure = error.message))
    worker.on('exit', () => {
      if (thread === worker) thread = undefined
      end(failure)
    })
    return worker
  }

  const begin = (): void => {
    isWanted = false
    isUnderWay = true
    thread ??= start()
    thread.postMessage('checkpoint')
  }

  return {
    want() {
      isWanted = true
      if (!isUnderWay && !isClosed) begin()
    },
    async close() {
      isClosed = true
      await thread?.terminate()
    },
  }
}
