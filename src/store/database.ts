import { extname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Problem } from '../problem.ts'
import type { DatabaseReply, DatabaseRequest } from './database-thread.ts'
import type { Write } from './journal-schema.ts'

/** How long a reader waits while another connection closes a database: then nobody may read for a moment. */
export const readerTimeoutMs = 5000

type Request =
  | Omit<DatabaseRequest & { kind: 'open' }, 'request'>
  | Omit<DatabaseRequest & { kind: 'write' }, 'request'>
  | Omit<DatabaseRequest & { kind: 'close' }, 'request'>

/** The thread that writes all databases of a server. */
export class DatabaseWriter {
  readonly #thread: Worker
  readonly #waiting = new Map<number, (reply: DatabaseReply) => void>()
  readonly #patience = new AbortController()
  #lastRequest = 0

  constructor() {
    this.#thread = new Worker(new URL(`./database-thread${extname(import.meta.url)}`, import.meta.url))
    this.#thread.on('message', (reply: DatabaseReply) => {
      this.#waiting.get(reply.request)?.(reply)
      this.#waiting.delete(reply.request)
    })
    this.#thread.on('error', (error) => this.#failAll(error.message))
    this.#thread.on('exit', () => this.#failAll('The database thread has ended.'))
  }

  /** Opens a database, makes its tables when it is new, and gives the way to write and read it. */
  async open(path: string, schema: string, version: number): Promise<Database> {
    const reply = await this.ask({ kind: 'open', path, schema, version })
    if (reply.kind === 'failed')
      throw new Problem(
        reply.isOutOfSpace ? 'disk-full' : 'internal',
        `The database ${path} cannot be opened: ${reply.message}`,
      )
    return new Database(path, this)
  }

  async ask(request: Request): Promise<DatabaseReply> {
    this.#lastRequest += 1
    const number = this.#lastRequest
    return new Promise((resolve) => {
      this.#waiting.set(number, resolve)
      this.#thread.postMessage({ ...request, request: number })
    })
  }

  /** Ends when nobody waits any more for space on a full disk. */
  get patience(): AbortSignal {
    return this.#patience.signal
  }

  /** Says that the server stops: what cannot be written now for want of space never will be. */
  waitNoMore(): void {
    this.#patience.abort()
  }

  async close(): Promise<void> {
    await this.#thread.terminate()
  }

  #failAll(message: string): void {
    for (const [request, resolve] of this.#waiting)
      resolve({ request, kind: 'failed', message, isOutOfSpace: false })
    this.#waiting.clear()
  }
}

/** Changes come in swarms: after a pause more of them share a sync, which costs as much as a hundred of them. */
const pauseMs = 5

/** The last changes of a transaction. `committed` is called when it is on the disk. */
export interface TransactionEnd {
  readonly writes: readonly Write[]
  committed(): void
}

/**
 * One database with group commit: while a transaction is on its way to the disk, all that is written meanwhile
 * gathers for the next one. So a thousand changes a second cost as many syncs as the disk can do, and not more.
 */
export class Database {
  readonly path: string
  readonly #writer: DatabaseWriter
  readonly #reader: DatabaseSync
  #gathered: Write[] = []
  #isDue = false
  #flushes: (() => void)[] = []
  #closing: (() => TransactionEnd) | undefined
  #running: Promise<void> | undefined
  #failure: Problem | undefined
  #whenFailed: ((failure: Problem) => void) | undefined
  #isClosed = false

  constructor(path: string, writer: DatabaseWriter) {
    this.path = path
    this.#writer = writer
    this.#reader = new DatabaseSync(path, { readOnly: true, timeout: readerTimeoutMs })
  }

  /** For reading what is committed. */
  get reader(): DatabaseSync {
    return this.#reader
  }

  /** Calls `listener` when it turns out that nothing can be written any more. */
  onFailure(listener: (failure: Problem) => void): void {
    this.#whenFailed = listener
  }

  /**
   * Why nothing can be written any more. `disk-full` only where the server stops and does not wait for space: what is
   * committed holds, and the next life of the server goes on from there.
   */
  get failure(): Problem | undefined {
    return this.#failure
  }

  /** How many changes wait for the disk. Whoever can make more should look here first. */
  get backlog(): number {
    return this.#gathered.length
  }

  /** Adds changes to the next transaction: together, in this order, after all earlier ones. None still ask for one. */
  write(writes: readonly Write[]): void {
    if (this.#isClosed || this.#failure !== undefined) return
    for (const write of writes) this.#gathered.push(write)
    this.#isDue = true
    this.#running ??= this.#commitAll()
  }

  /** Has `closing` say, whenever a transaction is put together, what belongs at its end. */
  endTransactions(closing: () => TransactionEnd): void {
    this.#closing = closing
  }

  /** Resolves when all that was written so far is on the disk. Throws Problem when it cannot be written. */
  async flushed(): Promise<void> {
    if (this.#running !== undefined) await new Promise<void>((resolve) => this.#flushes.push(resolve))
    if (this.#failure !== undefined) throw this.#failure
  }

  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running
    this.#isClosed = true
    this.#reader.close()
    await this.#writer.ask({ kind: 'close', path: this.path })
  }

  async #commitAll(): Promise<void> {
    // Changes of the same turn belong into one transaction.
    await nextTurn()
    while ((this.#isDue && this.#failure === undefined) || this.#flushes.length > 0) {
      const flushes = this.#flushes
      this.#flushes = []
      if (this.#isDue && this.#failure === undefined) await this.#commitGathered()
      for (const resolve of flushes) resolve()
      if (this.#isDue) await delay(pauseMs)
    }
    // In the turn of the last look, so that a write after it starts anew.
    this.#running = undefined
  }

  async #commitGathered(): Promise<void> {
    const end = this.#closing?.()
    const writes = [...this.#gathered, ...(end?.writes ?? [])]
    this.#gathered = []
    this.#isDue = false
    if (writes.length === 0 || (await this.#commit(writes))) end?.committed()
  }

  async #commit(writes: readonly Write[]): Promise<boolean> {
    for (;;) {
      const reply = await this.#writer.ask({ kind: 'write', path: this.path, writes })
      if (reply.kind === 'done') return true
      const { patience } = this.#writer
      if (!reply.isOutOfSpace || this.#isClosed || patience.aborted) {
        this.#failure = new Problem(
          reply.isOutOfSpace ? 'disk-full' : 'internal',
          `The journal ${this.path} cannot be written: ${reply.message}`,
        )
        this.#whenFailed?.(this.#failure)
        return false
      }
      // A full disk is waited for: nothing is lost, and nothing goes on that could not be kept.
      await delay(1000, undefined, { signal: patience }).catch(() => undefined)
    }
  }
}
