import { Busboy, type BusboyInstance } from '@fastify/busboy'
import type { Readable } from 'node:stream'
import { Problem } from '../problem.ts'
import { bodyTooLarge, watchBody, type BodyLimits } from './read-body.ts'

const mostFields = 32
const mostHeaderBytes = 16 * 1024

export interface MultipartReader {
  /** Told of each text field. What it throws ends the reading. */
  readonly onField: (name: string, value: string) => void
  /** Told of each file; the next part is read once the stream is consumed. What it throws ends the reading. */
  readonly onFile: (name: string, file: ReceivedPart, signal: AbortSignal) => Promise<void>
  /** More files than this are refused. */
  readonly mostFiles: number
}

export interface ReceivedPart {
  readonly stream: Readable
  /** As the client calls it; empty where it does not. */
  readonly fileName: string
}

/**
 * Reads a multipart/form-data body (RFC 7578) as a stream: files are never held in memory. Rejects with the first
 * thing that goes wrong, after `onFile` has ended; the body is then left open and unread.
 */
export async function readMultipart(
  body: Readable,
  contentType: string,
  limits: BodyLimits,
  limitBytes: number,
  reader: MultipartReader,
): Promise<void> {
  const failure = new AbortController()
  const fail = (error: unknown) => failure.abort(error)
  const failed = new Promise<never>((_, reject) => {
    failure.signal.addEventListener('abort', () => reject(failure.signal.reason), { once: true })
  })
  failed.catch(() => undefined)
  const { promise: parsed, resolve: finish } = Promise.withResolvers<void>()
  const files: Promise<void>[] = []
  const parser = createParser(contentType, limits, reader.mostFiles)
    .on('field', (name, value, _, isTruncated) => {
      try {
        if (isTruncated) throw bodyTooLarge(limits.textBytes)
        reader.onField(name, value)
      } catch (error) {
        fail(error)
      }
    })
    .on('file', (name, stream, fileName) => {
      // Whoever takes the file may refuse it, and ends the stream with that.
      stream.on('error', (cause) => fail(cause instanceof Problem ? cause : malformed(cause)))
      files.push(reader.onFile(name, { stream, fileName: fileName ?? '' }, failure.signal).catch(fail))
    })
    .on('partsLimit', () => fail(tooManyParts(reader.mostFiles)))
    .on('fieldsLimit', () => fail(tooManyParts(reader.mostFiles)))
    .on('filesLimit', () => fail(tooManyParts(reader.mostFiles)))
    .on('error', (cause) => fail(malformed(cause)))
    .on('finish', finish)
  const watch = watchBody(body, limitBytes, limits.idleMs)
  watch.done.catch(fail)
  body.pipe(parser)
  try {
    await Promise.race([Promise.all([parsed, watch.done]), failed])
    await Promise.race([Promise.all(files), failed])
  } finally {
    body.unpipe(parser).pause()
    watch.stop()
    await Promise.all(files)
    parser.destroy()
  }
}

function createParser(contentType: string, limits: BodyLimits, mostFiles: number): BusboyInstance {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      fileHwm: 256 * 1024,
      highWaterMark: 256 * 1024,
      isPartAFile: (_, type, fileName) =>
        fileName !== undefined || (type !== undefined && !type.startsWith('text/')),
      limits: {
        fieldSize: limits.textBytes,
        fields: mostFields,
        // One more than may come, so that the one too many is told by its name.
        files: mostFiles + 1,
        parts: mostFields + mostFiles + 1,
        headerPairs: 32,
        headerSize: mostHeaderBytes,
      },
    })
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause: unknown): Problem {
  return new Problem('body-invalid', 'The multipart body is malformed or was cut short.', {
    hint: 'Let the client build it: curl -F name=value -F workDirectory=@work.tar.gz',
    cause,
  })
}

function tooManyParts(mostFiles: number): Problem {
  const files = mostFiles === 1 ? 'one file' : `${mostFiles} files`
  return new Problem('body-invalid', `Expected at most ${mostFields} fields and ${files} in the request.`)
}
