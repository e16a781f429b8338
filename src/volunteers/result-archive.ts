import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { createGunzip, gunzipSync } from 'node:zlib'
import { defaultArchiveLimits, ratioFreeBytes, type ArchiveLimits } from '../files/archive-limits.ts'
import { createNameTree, splitEntryName } from '../files/entry-names.ts'
import { archiveTooLarge, invalidArchive, unsafeEntry } from '../files/refusal.ts'
import { createTarReader, type TarEntry, type TarReader, type TarSink } from '../files/tar-reader.ts'
import { unpackArchive, type UnpackedArchive } from '../files/unpack.ts'
import { toProblem } from '../problem.ts'
import { readComparison, type Comparison } from './comparison.ts'
import { createNumberReader, type TextWithNumbers } from './numbers-in-text.ts'
import { parseRecord, type ResultRecord } from './result-record.ts'

export type ResultDigest =
  | { readonly kind: 'sound'; readonly digest: string }
  /** No result of the launcher, or one that says that it could run nothing. */
  | { readonly kind: 'broken'; readonly message: string }

/** A result without the numbers in it, and those numbers. */
export type ResultWithNumbers =
  | {
      readonly kind: 'sound'
      /** Of all that is not a number. */
      readonly digest: string
      readonly numbers: readonly number[]
    }
  | (ResultDigest & { readonly kind: 'broken' })

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
  const read = await readSound(path, limits, readBytes)
  return read.kind === 'broken' ? read : { kind: 'sound', digest: read.digest }
}

/**
 * The same where numbers in texts are compared otherwise: at most so many. Throws only where the file itself cannot
 * be read.
 */
export async function readNumbers(
  path: string,
  numbersAtMost: number,
  limits: ArchiveLimits = defaultArchiveLimits,
): Promise<ResultWithNumbers> {
  const allowance = { left: numbersAtMost }
  return readSound(path, limits, () => createNumberReader(allowance))
}

async function readSound(
  path: string,
  limits: ArchiveLimits,
  readContent: ContentReading,
): Promise<ResultWithNumbers> {
  const reading = readingOf(limits, readContent)
  try {
    await readTar(path, reading.sink, limits)
    const record = reading.record()
    if (record.failure !== undefined)
      return { kind: 'broken', message: `The launcher says: ${record.failure}.` }
    return { kind: 'sound', ...reading.compared(record) }
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

/** Reads one content that is compared. */
type ContentReading = () => { update(chunk: Buffer): void; end(): TextWithNumbers }

function readBytes(): ReturnType<ContentReading> {
  const hash = createHash('sha256')
  return {
    update: (chunk) => void hash.update(chunk),
    end: () => ({ digest: hash.digest('hex'), numbers: [] }),
  }
}

interface Line {
  readonly job: number
  readonly name: string
  readonly line: string
  readonly numbers: readonly number[]
}

/** Takes what a tar reader finds, checks it, and keeps what a comparison needs. */
function readingOf(limits: ArchiveLimits, readContent: ContentReading = readBytes) {
  const names = createNameTree(limits.entries)
  const lines: Line[] = []
  const texts = new Map<string, string>()
  let current:
    | {
        readonly entry: TarEntry
        readonly content: ReturnType<ContentReading>
        readonly text: Buffer[] | undefined
      }
    | undefined
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
        keep(entry, { digest: '', numbers: [] })
        return
      }
      const isText = entry.path === 'record' || /^jobs\/\d+\/compared$/.test(entry.path)
      if (isText && entry.sizeBytes > textBytes)
        throw archiveTooLarge(`${entry.path} in the result is larger than ${textBytes} bytes.`)
      const content = /^jobs\/\d+\/(stdout$|out\/)/.test(entry.path) ? readContent() : readBytes()
      current = { entry, content, text: isText ? [] : undefined }
    },
    data(chunk) {
      current?.content.update(chunk)
      // The reader may use the chunk again.
      current?.text?.push(Buffer.from(chunk))
    },
    entryEnd() {
      if (current === undefined) return
      const { entry, content, text } = current
      current = undefined
      if (text !== undefined) texts.set(entry.path, Buffer.concat(text).toString('utf8'))
      keep(entry, content.end())
    },
    metadata(sizeBytes) {
      bytes += sizeBytes
    },
  }

  function keep({ kind, path, mode }: TarEntry, { digest, numbers }: TextWithNumbers): void {
    const [, job, name] = /^jobs\/(\d+)\/(.*?)\/?$/s.exec(path) ?? []
    if (job === undefined || name === undefined) return
    const runs = kind === 'file' && (mode & 0o100) !== 0
    lines.push({ job: Number(job), name, line: JSON.stringify([job, kind, name, runs, digest]), numbers })
  }

  function record(): ResultRecord {
    const text = texts.get('record')
    if (text === undefined) throw invalidArchive('The result has no record.')
    return parseRecord(text)
  }

  function compared({ ends, remark }: ResultRecord): TextWithNumbers {
    const comparisons = new Map<number, Comparison>()
    for (const job of ends.keys())
      comparisons.set(job, readComparison(texts.get(`jobs/${job}/compared`) ?? ''))
    const found = lines.filter(({ job, name }) => {
      const comparison = comparisons.get(job)
      return comparison !== undefined && isCompared(name, comparison)
    })
    const sorted = found.sort((a, b) => (a.line < b.line ? -1 : 1))
    const said = [...ends].map(([job, { kind, code }]) => JSON.stringify([job, kind, code ?? null]))
    const all = [...said, remark === undefined ? '' : 'without outputs', ...sorted.map(({ line }) => line)]
    return {
      digest: createHash('sha256').update(all.join('\n')).digest('hex'),
      numbers: sorted.flatMap(({ numbers }) => numbers),
    }
  }

  return { sink, record, compared, hasRecord: () => texts.has('record') }
}

function isCompared(name: string, { comparesPrinted, varying }: Comparison): boolean {
  if (name === 'stdout') return comparesPrinted
  if (name === 'compared') return true
  const [, place] = /^out\/(\d+)(?:\/|$)/.exec(name) ?? []
  return place !== undefined && !varying.includes(Number(place))
}
