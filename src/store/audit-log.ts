import { open, rename, type FileHandle } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { fullLogPath, hashOf, listFullLogs, nothingBefore, readAt, readPlace } from './audit-files.ts'

/** Something that was done, or refused, and by whom. Holds no secret: a token is told by its id. */
export interface AuditEvent {
  /** `login`, `start`, `cancel`, `remove`, `password`, `request` ... */
  readonly action: string
  /** `ok`, or the code of the problem. */
  readonly outcome: string
  /** What it was done to: the id of an execution, or a path. */
  readonly object?: string | undefined
  readonly tokenId?: string | undefined
  /** Name of the user; absent for the operator. */
  readonly user?: string | undefined
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
  /** Ends with `.log`. */
  readonly path: string
  /** A log of so many bytes is full: it is set aside under the number of its last entry, and the next one begins. */
  readonly maxBytes?: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Monotonic, in milliseconds: shows when the other clock was set. */
  readonly elapsedMs: () => number
  readonly warn: (message: string) => void
}

const longestText = 200
const longestLine = 16_384
const mostWaiting = 10_000
const linesAtOnce = 500

/** Where a log ends: its length, and what the next line must name. */
interface End {
  bytes: number
  sequence: number
  hash: string
  /** The full log before this one. */
  continues: string | undefined
}

/**
 * Opens a log of one JSON object a line, to which lines are only ever added (mode 0600). Each line holds the SHA-256
 * of the one before, also over the end of a full log, so that a line that was changed or taken out shows: see
 * `verifyAudit`. Goes on where an earlier life of the server has ended; half a line, as a power cut leaves it, is cut
 * off first.
 */
export async function openAuditLog(options: AuditOptions): Promise<AuditLog> {
  const { path, maxBytes = Number.POSITIVE_INFINITY, now, elapsedMs, warn } = options
  let file = await open(path, 'a+', 0o600)
  const end = await findEnd(file, path)
  const waiting: (AuditEvent & { readonly time: string; readonly elapsedMs: number })[] = []
  let lost = 0
  let writing: Promise<void> | undefined

  const setAside = async (): Promise<void> => {
    const full = fullLogPath(path, end.sequence)
    // It is gone already where the next one could not be opened the last time.
    if (existsSync(path)) await rename(path, full)
    const next = await open(path, 'a+', 0o600)
    await file.close()
    file = next
    Object.assign(end, { bytes: 0, continues: basename(full) })
  }
  const writeSome = async (): Promise<void> => {
    if (end.bytes >= maxBytes) await setAside()
    const events = waiting.slice(0, linesAtOnce)
    const after = { ...end }
    let text = ''
    for (const [index, event] of events.entries()) {
      after.sequence += 1
      const isLossTold = index === 0 && lost > 0
      const isFirstOfFile = index === 0 && end.bytes === 0
      const line = JSON.stringify({
        sequence: after.sequence,
        ...(isFirstOfFile && end.continues !== undefined && { continues: end.continues }),
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

async function findEnd(file: FileHandle, path: string): Promise<End> {
  const last = await findLastLine(file)
  if (last.line !== undefined) return { bytes: last.bytes, ...placeOf(last.line), continues: undefined }
  const full = (await listFullLogs(path)).at(-1)
  if (full === undefined) return { bytes: 0, sequence: 0, hash: nothingBefore, continues: undefined }
  const before = await open(full, 'r+')
  try {
    return { bytes: 0, ...placeOf((await findLastLine(before)).line ?? ''), continues: basename(full) }
  } finally {
    await before.close()
  }
}

/** After a line that nobody can read, `verifyAudit` finds the fault there and not in the lines to come. */
function placeOf(line: string): { sequence: number; hash: string } {
  return { sequence: readPlace(line).sequence ?? 0, hash: hashOf(line) }
}

/** The last whole line, and where it ends. Half a line behind it is cut off. */
async function findLastLine(file: FileHandle): Promise<{ bytes: number; line: string | undefined }> {
  const { size } = await file.stat()
  const start = Math.max(0, size - 2 * longestLine)
  const tail = await readAt(file, start, size - start)
  const wholeBytes = tail.lastIndexOf('\n') + 1
  if (start + wholeBytes < size) await file.truncate(start + wholeBytes)
  const lines = tail
    .subarray(0, Math.max(0, wholeBytes - 1))
    .toString()
    .split('\n')
  return { bytes: start + wholeBytes, line: wholeBytes === 0 ? undefined : lines.at(-1) }
}
