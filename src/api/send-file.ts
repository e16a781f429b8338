import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { pipeline, type Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { OpenedInside } from '../files/safe-open.ts'
import { Problem } from '../problem.ts'
import { parseByteRange, type ByteRange } from './byte-range.ts'
import { attachment } from './content-disposition.ts'
import type { Call } from './route.ts'
import { streamBody } from './stream-body.ts'

export const binary = 'application/octet-stream'
const chunkBytes = 256 * 1024
/** A level above costs more time than the network saves. */
const transportLevel = 1

/**
 * Answers with a file. `gzip` makes the compressed bytes the body; otherwise it may be compressed on its way only,
 * for clients that ask for that, or sent in part. Closes the file in any case.
 */
export async function sendFile(opened: OpenedInside, gzip: boolean, call: Call): Promise<Response> {
  try {
    return await answerFile(opened, gzip, call)
  } catch (error) {
    await opened.handle.close()
    throw error
  }
}

async function answerFile(
  { handle, stats, path }: OpenedInside,
  gzip: boolean,
  call: Call,
): Promise<Response> {
  const name = basename(path)
  const headers = new Headers({ 'content-type': binary })
  if (gzip) {
    headers.set('content-disposition', attachment(`${name}.gz`))
    return new Response(compressed(handle, stats, 6, call), { headers })
  }
  headers.set('content-disposition', attachment(name))
  headers.set('vary', 'accept-encoding')
  const range = askedRange(stats, call)
  if (range === undefined && acceptsGzip(call.header('accept-encoding')) && stats.size > 0) {
    headers.set('content-encoding', 'gzip')
    return new Response(compressed(handle, stats, transportLevel, call), { headers })
  }
  headers.set('accept-ranges', 'bytes')
  headers.set('etag', entityTag(stats))
  headers.set('last-modified', stats.mtime.toUTCString())
  const part = range ?? { first: 0, last: stats.size - 1 }
  const lengthBytes = part.last - part.first + 1
  headers.set('content-length', String(lengthBytes))
  if (range !== undefined) headers.set('content-range', `bytes ${part.first}-${part.last}/${stats.size}`)
  if (lengthBytes === 0) {
    await handle.close()
    return new Response('', { headers })
  }
  const body = streamBody(read(handle, part), { lengthBytes, breakOff: call.breakOff })
  return new Response(body, { status: range === undefined ? 200 : 206, headers })
}

function compressed(handle: FileHandle, stats: Stats, level: number, { breakOff }: Call) {
  const gzip = createGzip({ level, chunkSize: chunkBytes })
  // Bounded by the size at the start: a file that grows all the time would never end.
  const source =
    stats.size === 0 ? handle.createReadStream() : read(handle, { first: 0, last: stats.size - 1 })
  // A failure shows at the end of the pipe, where `streamBody` reads.
  pipeline(source, gzip, () => undefined)
  return streamBody(gzip, { breakOff })
}

function read(handle: FileHandle, { first, last }: ByteRange): Readable {
  return handle.createReadStream({ start: first, end: last, highWaterMark: chunkBytes })
}

function askedRange(stats: Stats, { header, answerHeaders }: Call): ByteRange | undefined {
  const ifRange = header('if-range')
  if (ifRange !== undefined && ifRange !== entityTag(stats)) return undefined
  const range = parseByteRange(header('range'), stats.size)
  if (range !== 'unsatisfiable') return range
  answerHeaders.set('content-range', `bytes */${stats.size}`)
  throw new Problem('range-invalid', `The range lies outside the file, which has ${stats.size} bytes.`)
}

/** RFC 9110, section 8.8.3. */
function entityTag({ size, mtimeMs, ino }: Stats): string {
  return `"${size.toString(16)}-${mtimeMs.toString(16)}-${ino.toString(16)}"`
}

/** RFC 9110, section 12.5.3. `*` is not taken as a wish for gzip. */
function acceptsGzip(header: string | undefined): boolean {
  return (header ?? '').split(',').some((each) => {
    const [coding, ...parameters] = each.split(';').map((part) => part.trim().toLowerCase())
    const isRefused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
    return (coding === 'gzip' || coding === 'x-gzip') && !isRefused
  })
}
