import { createHash, type Hash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { createGunzip, gunzipSync } from 'node:zlib'
import { defaultArchiveLimits, ratioFreeBytes, type ArchiveLimits } from '../files/archive-limits.ts'
import { createNameTree, splitEntryName } from '../files/entry-names.ts'
import { archiveTooLarge, invalidArchive, unsafeEntry } from '../files/refusal.ts'
import { createTarReader, type TarEntry, type TarReader, type TarSink } from '../files/tar-reader.ts'
import { unpackArchive, type UnpackedArchive } from '../files/unpack.ts'
import { toProblem } from '../problem.ts'
import { readComparison, type Comparison } from './comparison.ts'
import { parseRecord, type ResultRecord } from './result-record.ts'

export type ResultDigest =
  | { readonly kind: 'sound'; readonly digest: string }
  /** No result of the launcher, or one that says that it could run nothing. */
  | { readonly kind: 'broken'; readonly message: string }

/** Files of an archive that are read as text. */
const textBytes = 1024 ** 2
const smallBytes = 256 * 1024
const smallUnpackedBytes = 8 * 1024 ** 2

/**
 * Reads what a host sent, to its end and without writing anything. Two sound results with the same digest agree: their
 * jobs ended in the same way and left the same outputs, byte for byte. What is said to vary is passed over, as are
 * times and logs; what is said to vary counts itself, so that no host can say it for others. Throws only where the
 * file itself cannot be read.
 */
export async function digestResult(
  path: string,
  limits: ArchiveLimits = defaultArchiveLimits,
): Promise<ResultDigest> {
  const reading = readingOf(limits)
  try {
    await readTar(path, reading.sink, limits)
    const record = reading.record()
    if (record.failure !== undefined)
      return { kind: 'broken', message: `The launcher says: ${record.failure}.` }
    return { kind: 'sound', digest: reading.digest(record) }
  } catch (error) {
    const { code, message } = toProblem(error)
    if (code === 'internal') throw error
    return { kind: 'broken', message }
  }
}

/** How the jobs of a result ended: its first entry. Throws Problem where it is no result. */
export async function readRecord(path: string): Promise<ResultRecord> {
  const reading = readingOf(defaultArchiveLimits)
  await readTar(path, reading.sink, defaultArchiveLimits, reading.hasRecord)
  return reading.record()
}

/** Unpacks a result into `target`, which is not there yet, by the gate for all that comes from outside. Throws Problem. */
export async function unpackResult(
  path: string,
  target: string,
  signal: AbortSignal,
  limits: ArchiveLimits = defaultArchiveLimits,
): Promise<UnpackedArchive> {
  return unpackArchive(createReadStream(path), target, limits, signal)
}

async function readTar(
  path: string,
  sink: TarSink,
  limits: ArchiveLimits,
  isEnough: () => boolean = () => false,
): Promise<void> {
  const reader = createTarReader(sink)
  const small = readSmall(path)
  if (small === undefined) await readLarge(path, reader, limits, isEnough)
  else reader.push(small)
  if (!isEnough()) reader.end()
}

/** In one go, which takes a tenth of the time: there are many small ones. Undefined where it is not that small. */
function readSmall(path: string): Buffer | undefined {
  if (statSync(path).size > smallBytes) return undefined
  const content = readFileSync(path)
  try {
    return gunzipSync(content, { maxOutputLength: smallUnpackedBytes })
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') return undefined
    throw describeGzipError(error)
  }
}

async function readLarge(
  path: string,
  reader: TarReader,
  limits: ArchiveLimits,
  isEnough: () => boolean,
): Promise<void> {
  const source = createReadStream(path)
  const gunzip = createGunzip({ chunkSize: 256 * 1024 })
  source.on('error', (error) => gunzip.destroy(error))
  source.pipe(gunzip)
  let bytes = 0
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > ratioFreeBytes && bytes > limits.ratio * gunzip.bytesWritten)
        throw archiveTooLarge(`The archive unpacks to more than ${limits.ratio} times its size.`)
      reader.push(chunk)
      if (isEnough()) return
    }
  } catch (error) {
    throw describeGzipError(error)
  } finally {
    source.destroy()
  }
}

function describeGzipError(error: unknown): unknown {
  return codeOf(error).startsWith('Z_')
    ? invalidArchive('The result is cut short or no gzip stream.', error)
    : error
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** Takes what a tar reader finds, checks it, and keeps what a digest needs. */
function readingOf(limits: ArchiveLimits) {
  const names = createNameTree(limits.entries)
  const lines: { readonly job: number; readonly name: string; readonly line: string }[] = []
  const texts = new Map<string, string>()
  let current:
    { readonly entry: TarEntry; readonly hash: Hash; readonly text: Buffer[] | undefined } | undefined
  let bytes = 0

  const sink: TarSink = {
    entry(entry) {
      names.claim(entry.path, splitEntryName(entry.path), entry.kind)
      if (texts.size === 0 && (entry.kind !== 'file' || entry.path !== 'record'))
        throw invalidArchive('The result does not begin with its record.')
      bytes += entry.sizeBytes
      if (bytes > limits.unpackedBytes)
        throw archiveTooLarge(`The archive unpacks to more than ${limits.unpackedBytes} bytes.`)
      // The launcher follows them.
      if (entry.kind === 'link') throw unsafeEntry(entry.path, 'is a link')
      if (entry.kind === 'directory') {
        keep(entry, '')
        return
      }
      const isText = entry.path === 'record' || /^jobs\/\d+\/compared$/.test(entry.path)
      if (isText && entry.sizeBytes > textBytes)
        throw archiveTooLarge(`${entry.path} in the result is larger than ${textBytes} bytes.`)
      current = { entry, hash: createHash('sha256'), text: isText ? [] : undefined }
    },
    data(chunk) {
      current?.hash.update(chunk)
      // The reader may use the chunk again.
      current?.text?.push(Buffer.from(chunk))
    },
    entryEnd() {
      if (current === undefined) return
      const { entry, hash, text } = current
      current = undefined
      if (text !== undefined) texts.set(entry.path, Buffer.concat(text).toString('utf8'))
      keep(entry, hash.digest('hex'))
    },
    metadata(sizeBytes) {
      bytes += sizeBytes
    },
  }

  function keep({ kind, path, mode }: TarEntry, content: string): void {
    const [, job, name] = /^jobs\/(\d+)\/(.*?)\/?$/s.exec(path) ?? []
    if (job === undefined || name === undefined) return
    const runs = kind === 'file' && (mode & 0o100) !== 0
    lines.push({ job: Number(job), name, line: JSON.stringify([job, kind, name, runs, content]) })
  }

  function record(): ResultRecord {
    const text = texts.get('record')
    if (text === undefined) throw invalidArchive('The result has no record.')
    return parseRecord(text)
  }

  function digest({ ends, remark }: ResultRecord): string {
    const comparisons = new Map<number, Comparison>()
    for (const job of ends.keys())
      comparisons.set(job, readComparison(texts.get(`jobs/${job}/compared`) ?? ''))
    const compared = lines.flatMap(({ job, name, line }) => {
      const comparison = comparisons.get(job)
      return comparison !== undefined && isCompared(name, comparison) ? [line] : []
    })
    const said = [...ends].map(([job, { kind, code }]) => JSON.stringify([job, kind, code ?? null]))
    const all = [...said, remark === undefined ? '' : 'without outputs', ...compared.sort()]
    return createHash('sha256').update(all.join('\n')).digest('hex')
  }

  return { sink, record, digest, hasRecord: () => texts.has('record') }
}

function isCompared(name: string, { comparesPrinted, varying }: Comparison): boolean {
  if (name === 'stdout') return comparesPrinted
  if (name === 'compared') return true
  const [, place] = /^out\/(\d+)(?:\/|$)/.exec(name) ?? []
  return place !== undefined && !varying.includes(Number(place))
}
