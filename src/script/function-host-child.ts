/** The process of a function host: hands batches to a pool of threads, and ends what takes too long. */
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Piscina } from 'piscina'
import { readFrames, sendFrame } from './frames.ts'
import type { FromHost, ToHost } from './host-messages.ts'
import { runBatch, type Batch } from './run-batch.ts'
import { siblingPath } from './spawn-node.ts'

const mebibyte = 1024 * 1024
/** What Node takes before any user code runs. */
const nodeOwnBytes = 160 * mebibyte
const batches = new Map<number, AbortController>()
/** Batches that no thread is free for yet. */
const waiting: Batch[] = []
let running = 0
let threads = 0
let pool: Piscina | undefined

const server = new Socket({ fd: 3 })
// Without the server nobody wants the results. Threads in endless loops and programs they started end as well.
server.on('error', () => undefined)
server.on('close', () => process.kill(-process.pid, 'SIGKILL'))
readFrames(
  server,
  ({ head, body }) => take(head as ToHost, body),
  (error) => die(error instanceof Error ? error.message : String(error)),
)

function take(message: ToHost, body: Buffer): void {
  switch (message.kind) {
    case 'start':
      pool = startPool(message)
      threads = message.threads
      if (message.memoryBytes !== null) watchMemory(message.memoryBytes)
      tell({ kind: 'ready' })
      return
    case 'run':
      batches.set(message.batch, new AbortController())
      waiting.push({ ...message, id: message.batch, calls: body.toString('utf8') })
      pump()
      return
    case 'abort':
      batches.get(message.batch)?.abort()
      return
  }
}

function startPool({ source, threads, memoryBytes }: Extract<ToHost, { kind: 'start' }>): Piscina {
  const started = new Piscina({
    filename: siblingPath('function-worker'),
    name: 'runTask',
    workerData: source,
    minThreads: 1,
    maxThreads: threads,
    // A thread that has loaded the script stays.
    idleTimeout: Infinity,
    concurrentTasksPerWorker: 1,
    ...(memoryBytes !== null && {
      resourceLimits: { maxOldGenerationSizeMb: Math.max(16, Math.floor(memoryBytes / threads / mebibyte)) },
    }),
  })
  // Besides real faults, piscina reports here that a thread had just finished when its task was aborted.
  started.on('error', (error: unknown) => {
    const message = error instanceof Error ? error.message : String(error)
    if (started.threads.length === 0 && batches.size > 0) {
      die(`no thread can be started: ${message}`)
    }
    if (!message.startsWith('Unexpected message from Worker')) tell({ kind: 'warning', message })
  })
  return started
}

/** The threads' limits hold for what JavaScript allocates itself, not for buffers. */
function watchMemory(memoryBytes: number): void {
  setInterval(() => {
    if (process.memoryUsage.rss() > memoryBytes + nodeOwnBytes)
      die(`out of memory: the functions take more than ${Math.floor(memoryBytes / mebibyte)} MiB`)
  }, 100)
}

function die(why: string): never {
  writeSync(2, `Function host: ${why}\n`)
  process.kill(-process.pid, 'SIGKILL')
  // Not reached: the signal is for this process as well.
  process.exit(1)
}

function pump(): void {
  while (running < threads) {
    const batch = waiting.shift()
    if (batch === undefined) return
    void run(batch)
  }
}

async function run(batch: Batch): Promise<void> {
  const signal = batches.get(batch.id)?.signal
  running += 1
  try {
    if (pool !== undefined && signal !== undefined)
      await runBatch(batch, pool, signal, (text) => tell({ kind: 'outcomes', batch: batch.id }, text))
  } finally {
    running -= 1
    batches.delete(batch.id)
  }
  tell({ kind: 'done', batch: batch.id })
  pump()
}

function tell(message: FromHost, body?: Uint8Array): void {
  sendFrame(server, message, body)
}
