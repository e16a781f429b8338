import { finished, type Readable } from 'node:stream'
import { Problem } from '../problem.ts'

/** How much of a request is read. */
export interface BodyLimits {
  /** Of the whole body where an archive may come along. */
  readonly uploadBytes: number
  /** Of the whole body elsewhere, and of one text field. */
  readonly textBytes: number
  /** Longest pause between two pieces, while we wait for one. */
  readonly idleMs: number
}

export interface BodyWatch {
  /** Rejects when the body breaks off, stalls or is too large; resolves when it was read to its end. */
  readonly done: Promise<void>
  stop(): void
}

/**
 * Watches a body that somebody else reads. The body is left open: an answer may still go out on its connection.
 * A client's silence counts only while the body is read.
 */
export function watchBody(body: Readable, limitBytes: number, idleMs: number): BodyWatch {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let bytes = 0
  let isStopped = false
  const giveUp = (bytesBefore: number) => {
    if (isStopped) return
    if (bytes > bytesBefore || body.isPaused()) timer.refresh()
    else reject(new Problem('body-invalid', `No byte of the request came for ${idleMs / 1000} s.`))
  }
  // What came while this process was busy is read in the turn after the timer.
  const timer = setTimeout(() => setImmediate(giveUp, bytes), idleMs)
  const startAnew = () => timer.refresh()
  const count = (chunk: Buffer) => {
    timer.refresh()
    bytes += chunk.length
    if (bytes > limitBytes) reject(bodyTooLarge(limitBytes))
  }
  body.on('data', count).on('resume', startAnew)
  const forget = finished(body, { writable: false }, (error) => {
    if (error === null || error === undefined) resolve()
    else reject(new Problem('body-invalid', 'The request broke off before its end.', { cause: error }))
  })
  promise.catch(() => undefined)
  return {
    done: promise,
    stop() {
      isStopped = true
      clearTimeout(timer)
      body.off('data', count).off('resume', startAnew)
      forget()
      // What happens to the connection from here on is not the reader's concern.
      body.on('error', () => undefined)
    },
  }
}

/** Reads a small body into memory, as text. Throws Problem body-too-large, body-invalid. */
export async function readText(body: Readable, limitBytes: number, idleMs: number): Promise<string> {
  return (await readBytes(body, limitBytes, idleMs)).toString('utf8')
}

/** Reads a small body into memory. Throws Problem body-too-large, body-invalid. */
export async function readBytes(body: Readable, limitBytes: number, idleMs: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  const keep = (chunk: Buffer) => chunks.push(chunk)
  const watch = watchBody(body, limitBytes, idleMs)
  body.on('data', keep)
  try {
    await watch.done
    return Buffer.concat(chunks)
  } finally {
    body.off('data', keep).pause()
    watch.stop()
  }
}

export function bodyTooLarge(limitBytes: number): Problem {
  return new Problem('body-too-large', `The request is larger than ${limitBytes} bytes.`, {
    hint: 'Leave out what is not needed, or ask the operator to raise the limit.',
  })
}
