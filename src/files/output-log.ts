import { constants } from 'node:fs'
import { open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncPath } from './sync-tree.ts'
import { cutText, incompleteEndBytes } from './text-boundary.ts'

export interface OutputLogOptions {
  /** How much of the beginning is kept, up to the next line end. */
  readonly headBytes: number
  /** How much of the end is kept at least; on disk there is up to twice as much. */
  readonly tailBytes: number
}

/** A piece of the tail: the file `output.tail.<start>`, where start is its place in the whole output. */
interface Tail {
  readonly start: number
  bytes: number
}

interface Waiting {
  readonly bytes: Buffer
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

const mebibyte = 1024 ** 2
const batchBytes = mebibyte
// How far a line end is looked for before a line is cut.
const lineSlackBytes = 64 * 1024
// Room for a character of any length.
const leastTailBytes = 4
const tailPattern = /^output\.tail\.(\d+)$/
const appendFlags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW

/**
 * The output of one execution, of any length, in bounded space: its beginning in `output.head` and its end in at most
 * two files `output.tail.<start>` that follow each other. Cut at line ends where there are any, and never inside a
 * character. Opened again, it goes on where it was.
 */
export class OutputLog {
  readonly #directory: string
  readonly #options: OutputLogOptions
  readonly #tails: Tail[]
  #headBytes: number
  #waiting: Waiting[] = []
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(directory: string, options: OutputLogOptions, headBytes: number, tails: Tail[]) {
    this.#directory = directory
    this.#options = options
    this.#headBytes = headBytes
    this.#tails = tails
  }

  /** Opens the log of a directory that exists; what a crash left half written at its end is cut off. */
  static async open(
    directory: string,
    options: OutputLogOptions = { headBytes: 4 * mebibyte, tailBytes: 4 * mebibyte },
  ): Promise<OutputLog> {
    if (options.tailBytes < leastTailBytes)
      throw new RangeError(`expected tailBytes of at least ${leastTailBytes}, got ${options.tailBytes}`)
    const headBytes = await repairEnd(join(directory, 'output.head'))
    const starts = (await readdir(directory))
      .map((name) => tailPattern.exec(name)?.[1])
      .filter((start) => start !== undefined)
      .map(Number)
      .sort((one, other) => one - other)
    const tails: Tail[] = []
    for (const start of starts) tails.push({ start, bytes: await repairEnd(tailPath(directory, start)) })
    return new OutputLog(directory, options, headBytes, tails)
  }

  /** Bytes that were appended in all, kept or not. */
  get totalBytes(): number {
    const last = this.#tails.at(-1)
    return last ? last.start + last.bytes : this.#headBytes
  }

  /**
   * Appends whole characters, in the order of the calls. Calls that come meanwhile are written together.
   * Settles when the text is written: who waits for it before the next call never holds more than one text.
   *
   * @throws the system error when it could not be written; later calls try again.
   */
  append(text: string): Promise<void> {
    if (text === '') return Promise.resolve()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ bytes: Buffer.from(text), resolve, reject })
    if (this.#waiting.length === 1) void this.#inTurn(() => this.#writeWaiting())
    return promise
  }

  /**
   * Appends as `append` does, and tells `placed` before where the text will begin; nothing else is written until that
   * has settled. Settles when the text is on the disk.
   *
   * @throws what `placed` throws; the system error when it could not be written.
   */
  appendAt(text: string, placed: (at: number) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      await placed(this.totalBytes)
      const known = new Set(this.#paths())
      await this.#write(Buffer.from(text))
      for (const path of this.#paths()) await syncPath(path)
      // A new file is safe only when its name is.
      if (this.#paths().some((path) => !known.has(path))) await syncPath(this.#directory)
    })
  }

  /** Settles when all that was appended before is written. */
  async flush(): Promise<void> {
    await this.#inTurn(() => Promise.resolve())
  }

  /** The beginning, a line that says how many bytes are left out if there are any, and the end. */
  read(): Promise<string> {
    return this.#inTurn(() => this.#readFiles())
  }

  /** The files that there are. */
  #paths(): readonly string[] {
    const tails = this.#tails.map(({ start }) => tailPath(this.#directory, start))
    return this.#headBytes === 0 ? tails : [join(this.#directory, 'output.head'), ...tails]
  }

  async #readFiles(): Promise<string> {
    const head = await readIfThere(join(this.#directory, 'output.head'))
    const tails = await Promise.all(
      this.#tails.map((tail) => readIfThere(tailPath(this.#directory, tail.start))),
    )
    const leftOut = (this.#tails[0]?.start ?? this.#headBytes) - this.#headBytes
    const tail = Buffer.concat(tails).toString()
    if (leftOut === 0) return head.toString() + tail
    const lineEnd = head.at(-1) === 0x0a ? '' : '\n'
    return `${head.toString()}${lineEnd}[... ${leftOut} bytes of output left out ...]\n${tail}`
  }

  /** Reading and writing take turns: a file must not go while it is read. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch()
      try {
        await this.#write(Buffer.concat(batch.map((waiting) => waiting.bytes)))
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
  }

  #takeBatch(): Waiting[] {
    let bytes = 0
    const end = this.#waiting.findIndex((waiting) => (bytes += waiting.bytes.length) > batchBytes)
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : Math.max(1, end))
  }

  async #write(bytes: Buffer): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      const tail = this.#tails.at(-1)
      const limit = tail ? this.#options.tailBytes : this.#options.headBytes
      const least = limit - (tail?.bytes ?? this.#headBytes)
      const { bytes: taken, isFull } = cutText(rest, least, least + Math.min(limit, lineSlackBytes))
      const piece = rest.subarray(0, taken)
      if (tail) tail.bytes += await appendTo(tailPath(this.#directory, tail.start), tail.bytes, piece)
      else this.#headBytes += await appendTo(join(this.#directory, 'output.head'), this.#headBytes, piece)
      if (isFull) await this.#startTail()
      rest = rest.subarray(piece.length)
    }
  }

  async #startTail(): Promise<void> {
    const start = this.totalBytes
    await appendTo(tailPath(this.#directory, start), 0, Buffer.alloc(0))
    this.#tails.push({ start, bytes: 0 })
    const old = this.#tails.splice(0, this.#tails.length - 2)
    for (const { start } of old) await rm(tailPath(this.#directory, start), { force: true })
  }
}

function tailPath(directory: string, start: number): string {
  return join(directory, `output.tail.${start}`)
}

/** Appends all of it or, on an error, nothing: a full disk takes a part. Gives the number of bytes. */
async function appendTo(path: string, sizeBytes: number, bytes: Buffer): Promise<number> {
  const file = await open(path, appendFlags, 0o600)
  try {
    for (let offset = 0; offset < bytes.length;)
      offset += (await file.write(bytes, offset, bytes.length - offset)).bytesWritten
    return bytes.length
  } catch (error) {
    await file.truncate(sizeBytes)
    throw error
  } finally {
    await file.close()
  }
}

/** Cuts off a character that a crash left half written. Gives the size; 0 for a file that is not there. */
async function repairEnd(path: string): Promise<number> {
  const file = await unlessMissing(open(path, constants.O_RDWR | constants.O_NOFOLLOW))
  if (!file) return 0
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, Math.max(0, size - 4))
    const whole = size - incompleteEndBytes(buffer.subarray(0, bytesRead))
    if (whole < size) await file.truncate(whole)
    return whole
  } finally {
    await file.close()
  }
}

async function readIfThere(path: string): Promise<Buffer> {
  return (await unlessMissing(readFile(path))) ?? Buffer.alloc(0)
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
