import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'

/** Something that was done, or refused, and by whom. Holds no secret: a token is told by its id. */
export interface AuditEvent {
  /** `login`, `start`, `cancel`, `remove`, `password`, `request` ... */
  readonly action: string
  /** `ok`, or the code of the problem. */
  readonly outcome: string
  /** What it was done to: the id of an execution, or a path. */
  readonly object?: string | undefined
  readonly tokenId?: string | undefined
  readonly address?: string | undefined
  readonly requestId?: string | undefined
  /** Events of the same kind that were left out before this one. */
  readonly leftOut?: number | undefined
}

export interface AuditLog {
  /** Adds a line. Nobody waits for it: what cannot be written is told to `warn` and tried again with the next. */
  record(event: AuditEvent): void
  /** Resolves when what was recorded so far is on the disk, or could not be written. */
  flushed(): Promise<void>
  close(): Promise<void>
}

export interface AuditOptions {
  readonly path: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Monotonic, in milliseconds: shows when the other clock was set. */
  readonly elapsedMs: () => number
  readonly warn: (message: string) => void
}

/** What stands in the first line in place of a hash. */
const nothingBefore = '0'.repeat(64)
const longestText = 200
const longestLine = 16_384
const mostWaiting = 10_000
const linesAtOnce = 500

/** Where a log ends: its length, and what the next line must name. */
interface End {
  bytes: number
  sequence: number
  hash: string
}

/**
 * Opens a log of one JSON object a line, to which lines are only ever added (mode 0600). Each line holds the SHA-256
 * of the one before, so that a line that was changed or taken out shows: see `verifyAudit`. Goes on where an earlier
 * life of the server has ended; half a line, as a power cut leaves it, is cut off first.
 */
export async function openAuditLog({ path, now, elapsedMs, warn }: AuditOptions): Promise<AuditLog> {
  const file = await open(path, 'a+', 0o600)
  const end = await findEnd(file)
  const waiting: (AuditEvent & { readonly time: string; readonly elapsedMs: number })[] = []
  let lost = 0
  let writing: Promise<void> | undefined

  const writeSome = async (): Promise<void> => {
    const events = waiting.slice(0, linesAtOnce)
    const after = { ...end }
    let text = ''
    for (const [index, event] of events.entries()) {
      after.sequence += 1
      const isLossTold = index === 0 && lost > 0
      const line = JSON.stringify({
        sequence: after.sequence,
        ...event,
        ...(isLossTold && { lost }),
        previous: after.hash,
      })
      after.hash = hashOf(line)
      text += `${line}\n`
    }
    await append(file, text, end.bytes)
    Object.assign(end, { ...after, bytes: end.bytes + Buffer.byteLength(text) })
    lost = 0
    waiting.splice(0, events.length)
  }
  const writeAll = async (): Promise<void> => {
    try {
      while (waiting.length > 0) await writeSome()
    } catch (error) {
      warn(`The audit log ${path} cannot be written: ${String(error)}`)
    } finally {
      writing = undefined
    }
  }
  const flushed = async (): Promise<void> => writing

  return {
    record(event) {
      if (waiting.length >= mostWaiting) {
        waiting.shift()
        lost += 1
      }
      const texts = Object.entries(event).map(([name, value]: [string, unknown]) => [
        name,
        typeof value === 'string' ? value.slice(0, longestText) : value,
      ])
      const shortened = Object.fromEntries(texts) as AuditEvent
      waiting.push({
        time: new Date(now()).toISOString(),
        elapsedMs: Math.round(elapsedMs()),
        ...shortened,
      })
      writing ??= writeAll()
    },
    flushed,
    async close() {
      await flushed()
      await file.close()
    },
  }
}

export type AuditFinding =
  | { readonly kind: 'whole'; readonly lines: number }
  | { readonly kind: 'broken'; readonly line: number; readonly reason: string }

/** Whether every line of an audit log follows from the one before. Throws the system error when it cannot be read. */
export async function verifyAudit(path: string): Promise<AuditFinding> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    // Whoever writes at this moment may have written half a line.
    const hasEnd = size === 0 || (await readAt(file, size - 1, 1)).toString() === '\n'
    let lines = 0
    let hash = nothingBefore
    let held: string | undefined
    const check = (line: string): AuditFinding | undefined => {
      lines += 1
      const { sequence, previous } = readLine(line)
      const broken = (reason: string) => ({ kind: 'broken', line: lines, reason }) as const
      if (sequence === undefined) return broken('It is no entry of an audit log.')
      if (previous !== hash) return broken('It does not follow from the line before: something was changed.')
      if (sequence !== lines) return broken(`Expected entry ${lines}, got ${sequence}.`)
      hash = hashOf(line)
      return undefined
    }
    for await (const line of file.readLines({ autoClose: false, start: 0 })) {
      const finding = held === undefined ? undefined : check(held)
      if (finding !== undefined) return finding
      held = line
    }
    const finding = held === undefined || !hasEnd ? undefined : check(held)
    return finding ?? { kind: 'whole', lines }
  } finally {
    await file.close()
  }
}

function hashOf(line: string): string {
  return createHash('sha256').update(line).digest('hex')
}

function readLine(line: string): { sequence: number | undefined; previous: unknown } {
  try {
    const parsed: unknown = JSON.parse(line)
    if (typeof parsed === 'object' && parsed !== null && 'sequence' in parsed && 'previous' in parsed)
      return { sequence: Number(parsed.sequence), previous: parsed.previous }
  } catch {
    // Told by what is missing.
  }
  return { sequence: undefined, previous: undefined }
}

async function append(file: FileHandle, text: string, start: number): Promise<void> {
  const data = Buffer.from(text)
  try {
    // A single write may take only a part on a full disk, without an error.
    for (let offset = 0; offset < data.length;) offset += (await file.write(data, offset)).bytesWritten
    await file.datasync()
  } catch (error) {
    await file.truncate(start)
    throw error
  }
}

async function findEnd(file: FileHandle): Promise<End> {
  const { size } = await file.stat()
  const start = Math.max(0, size - 2 * longestLine)
  const tail = await readAt(file, start, size - start)
  const wholeBytes = tail.lastIndexOf('\n') + 1
  if (start + wholeBytes < size) await file.truncate(start + wholeBytes)
  const bytes = start + wholeBytes
  const line =
    tail
      .subarray(0, Math.max(0, wholeBytes - 1))
      .toString()
      .split('\n')
      .at(-1) ?? ''
  if (line === '') return { bytes, sequence: 0, hash: nothingBefore }
  // After a line that nobody can read, `verifyAudit` finds the fault there and not in the lines to come.
  return { bytes, sequence: readLine(line).sequence ?? 0, hash: hashOf(line) }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}
