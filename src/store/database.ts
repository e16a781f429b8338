import { extname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Problem } from '../problem.ts'
import type { DatabaseReply, DatabaseRequest } from './database-thread.ts'
import type { Write } from './journal-schema.ts'

type Request =
  | Omit<DatabaseRequest & { kind: 'open' }, 'request'>
  | Omit<DatabaseRequest & { kind: 'write' }, 'request'>
  | Omit<DatabaseRequest & { kind: 'close' }, 'request'>

/** The thread that writes all databases of a server. */
export class DatabaseWriter {
  readonly #thread: Worker
  readonly #waiting = new Map<number, (reply: DatabaseReply) => void>()
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

  async close(): Promise<void> {
    await this.#thread.terminate()
  }

  #failAll(message: string): void {
    for (const [request, resolve] of this.#waiting)
      resolve({ request, kind: 'failed', message, isOutOfSpace: false })
    this.#waiting.clear()
  }
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
  #committed: (() => void)[] = []
  #running: Promise<void> | undefined
  #failure: Problem | undefined
  #isClosed = false

  constructor(path: string, writer: DatabaseWriter) {
    this.path = path
    this.#writer = writer
    this.#reader = new DatabaseSync(path, { readOnly: true })
  }

  /** For reading what is committed. */
  get reader(): DatabaseSync {
    return this.#reader
  }

  /** How many changes wait for the disk. Whoever can make more should look here first. */
  get backlog(): number {
    return this.#gathered.length
  }

  /** Adds changes to the next transaction. They are together in it, in this order, after all earlier ones. */
  write(writes: readonly Write[], whenCommitted?: () => void): void {
    if (this.#isClosed || this.#failure !== undefined) return
    for (const write of writes) this.#gathered.push(write)
    if (whenCommitted !== undefined) this.#committed.push(whenCommitted)
    this.#running ??= this.#commitAll().finally(() => {
      this.#running = undefined
    })
  }

  /** Resolves when all that was written so far is on the disk. Throws Problem when it cannot be written. */
  async flushed(): Promise<void> {
    while (this.#running !== undefined) await this.#running
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
    await Promise.resolve()
    while (this.#gathered.length > 0 || this.#committed.length > 0) {
      const writes = this.#gathered
      const committed = this.#committed
      this.#gathered = []
      this.#committed = []
      if (writes.length > 0 && !(await this.#commit(writes))) return
      for (const tell of committed) tell()
    }
  }

  async #commit(writes: readonly Write[]): Promise<boolean> {
    for (;;) {
      const reply = await this.#writer.ask({ kind: 'write', path: this.path, writes })
      if (reply.kind === 'done') return true
      if (!reply.isOutOfSpace || this.#isClosed) {
        this.#failure = new Problem(
          'internal',
          `The journal ${this.path} cannot be written: ${reply.message}`,
        )
        return false
      }
      // A full disk is waited for: nothing is lost, and nothing goes on that could not be kept.
      await delay(1000)
    }
  }
}
