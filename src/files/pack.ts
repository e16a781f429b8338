import { isUtf8 } from 'node:buffer'
import { constants, type Dirent, type Stats } from 'node:fs'
import { lstat, open, readdir, readlink, realpath, type FileHandle } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { addAbortSignal, pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import { Problem } from '../problem.ts'
import { quoteName } from './refusal.ts'
import { handlePath, isInside, openDirectory, realPathOf, type OpenedInside } from './safe-open.ts'
import { encodeTarHeader, endMark, paddingBytes } from './tar-writer.ts'

export interface PackOptions {
  /** Whether to leave out what has this path, relative to the directory; what lies in it is left out with it. */
  readonly exclude?: (path: string) => boolean
  /** Is told what was left out without being excluded. */
  readonly onLeftOut?: (path: string, why: string) => void
  /** Name of a directory that all of it lies in; without, names are relative to the directory. */
  readonly folder?: string
  /** Texts to put beside the files, by their names in the directory, where the directory has nothing of that name. */
  readonly additions?: Readonly<Record<string, string>>
}

/** A directory that is being walked through. */
interface Walked {
  readonly handle: FileHandle
  /** A path that its children can be reached by. */
  readonly base: string
  /** Its own path in the archive, with a slash at the end; '' for the top. */
  readonly prefix: string
  readonly children: readonly Dirent<Buffer>[]
  next: number
}

const chunkBytes = 256 * 1024
const deepest = 256
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const zeros = Buffer.alloc(64 * 1024)

/**
 * A directory as tar.gz, made while it is read, with names relative to the directory and no entry for itself.
 * Links to what goes in as well are stored as links, others are left out, as are named pipes, devices and sockets.
 * What vanishes meanwhile is passed over; a file that shrinks is filled up with zeros, as tar does.
 * Any other error destroys the stream with it.
 *
 * @param directory a path that is no link, or what `openInside` gave; the stream then closes its handle.
 */
export function packDirectory(
  directory: string | OpenedInside,
  signal?: AbortSignal,
  options: PackOptions = {},
): Readable {
  const tar = Readable.from(gather(packEntries(directory, options)), { objectMode: false })
  if (typeof directory !== 'string')
    tar.once('close', () => void directory.handle.close().catch(() => undefined))
  const gzip = createGzip({ chunkSize: chunkBytes })
  // An error goes to whoever reads the stream.
  pipeline(tar, gzip, () => undefined)
  return signal ? addAbortSignal(signal, gzip) : gzip
}

async function* packEntries(directory: string | OpenedInside, options: PackOptions): AsyncGenerator<Buffer> {
  const opened = typeof directory === 'string' ? await openDirectory(directory) : directory.handle
  const rootPath = typeof directory === 'string' ? directory : directory.path
  const stack: Walked[] = []
  try {
    const root = await realPathOf(opened, rootPath)
    const top = await walk(opened, rootPath, '')
    stack.push(top)
    if (options.folder !== undefined) yield headerOf('directory', options.folder, await opened.stat())
    yield* packAdditions(top, await opened.stat(), options)
    for (let current = stack.at(-1); current; current = stack.at(-1)) {
      const child = current.children[current.next]
      current.next += 1
      if (!child) {
        stack.pop()
        if (current.handle !== opened) await current.handle.close()
        continue
      }
      const path = current.prefix + decodeName(child.name)
      if (options.exclude?.(path)) continue
      const place = Buffer.concat([Buffer.from(`${current.base}/`), child.name])
      if (child.isSymbolicLink()) yield* packLink(root, place, path, options)
      else if (child.isFile()) yield* packFile(place, nameOf(path, options))
      else if (child.isDirectory()) {
        if (stack.length >= deepest) throw tooDeep(path)
        const handle = await unlessVanished(open(place, openFlags | constants.O_DIRECTORY))
        if (!handle) continue
        stack.push(await walk(handle, join(rootPath, path), `${path}/`))
        yield headerOf('directory', nameOf(path, options), await handle.stat())
      } else options.onLeftOut?.(path, 'it is a named pipe, a device or a socket')
    }
    yield endMark
  } finally {
    // A handle that was given is closed with the stream.
    const own = stack.map((walked) => walked.handle).filter((handle) => handle !== opened)
    if (typeof directory === 'string') own.push(opened)
    await Promise.all(own.map((handle) => handle.close()))
  }
}

function nameOf(path: string, { folder }: PackOptions): string {
  return folder === undefined ? path : `${folder}/${path}`
}

function* packAdditions({ children }: Walked, stats: Stats, options: PackOptions): Generator<Buffer> {
  const taken = new Set(children.map(({ name }) => decodeName(name)))
  for (const [name, text] of Object.entries(options.additions ?? {})) {
    if (taken.has(name)) continue
    const content = Buffer.from(text)
    const { mtime: modifiedAt } = stats
    const sizeBytes = content.length
    const path = nameOf(name, options)
    yield encodeTarHeader({ kind: 'file', path, target: '', sizeBytes, mode: 0o600, modifiedAt })
    yield content
    yield zeros.subarray(0, paddingBytes(sizeBytes))
  }
}

async function walk(handle: FileHandle, path: string, prefix: string): Promise<Walked> {
  const base = handlePath(handle, path)
  try {
    const children = await readdir(base, { encoding: 'buffer', withFileTypes: true })
    children.sort((one, other) => one.name.compare(other.name))
    return { handle, base, prefix, children, next: 0 }
  } catch (error) {
    if (prefix !== '') await handle.close()
    throw error
  }
}

async function* packFile(place: Buffer, path: string): AsyncGenerator<Buffer> {
  const handle = await unlessVanished(open(place, openFlags))
  if (!handle) return
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) return
    yield headerOf('file', path, stats)
    let position = 0
    while (position < stats.size) {
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, stats.size - position))
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
      if (bytesRead === 0) break
      position += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
    let missing = stats.size - position + paddingBytes(stats.size)
    for (; missing > 0; missing -= zeros.length) yield zeros.subarray(0, Math.min(missing, zeros.length))
  } finally {
    await handle.close()
  }
}

async function* packLink(
  root: string,
  place: Buffer,
  path: string,
  options: PackOptions,
): AsyncGenerator<Buffer> {
  const stats = await unlessVanished(lstat(place))
  const target = await unlessVanished(readlink(place, { encoding: 'buffer' }))
  const real = await unlessUnresolved(realpath(place))
  if (!stats || !target) return
  if (
    real === undefined ||
    !isInside(root, real) ||
    !isUtf8(target) ||
    !(await isPacked(root, real, options))
  ) {
    options.onLeftOut?.(
      path,
      'it is a link that leads out of the directory, to nothing or to what is left out',
    )
    return
  }
  const text = target.toString()
  const parent = dirname(join(root, path))
  // An absolute target means nothing elsewhere, nor does one that comes back from outside.
  const portable = leavesRoot(path, text) ? relative(parent, real) || '.' : text
  yield headerOf('link', nameOf(path, options), stats, portable)
}

/** Whether the way that a link names goes through what lies outside, even if it comes back. */
function leavesRoot(path: string, target: string): boolean {
  let depth = path.split('/').length - 1
  for (const part of target.split('/')) {
    if (part === '..') depth -= 1
    else if (part !== '' && part !== '.') depth += 1
    if (depth < 0) return true
  }
  return isAbsolute(target)
}

/** Whether what a link leads to goes into the archive as well: our own gate takes no link to nothing. */
async function isPacked(root: string, real: string, { exclude }: PackOptions): Promise<boolean> {
  const stats = await unlessVanished(lstat(real))
  if (!stats?.isFile() && !stats?.isDirectory()) return false
  const parts = relative(root, real).split(sep)
  return !parts.some((_, index) => exclude?.(parts.slice(0, index + 1).join('/')) === true)
}

function headerOf(kind: 'file' | 'directory' | 'link', path: string, stats: Stats, target = ''): Buffer {
  const sizeBytes = kind === 'file' ? stats.size : 0
  return encodeTarHeader({ kind, path, target, sizeBytes, mode: stats.mode & 0o777, modifiedAt: stats.mtime })
}

/** Joins small pieces: each chunk is a trip to another thread for gzip. */
async function* gather(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = []
  let waitingBytes = 0
  for await (const piece of pieces) {
    waiting.push(piece)
    waitingBytes += piece.length
    if (waitingBytes < chunkBytes) continue
    yield Buffer.concat(waiting)
    waiting = []
    waitingBytes = 0
  }
  yield Buffer.concat(waiting)
}

/** A name for the archive. One that is not UTF-8 is kept, with its odd bytes written as %E9. */
function decodeName(name: Buffer): string {
  if (isUtf8(name)) return name.toString()
  return [...name]
    .map((byte) => (byte < 0x80 ? String.fromCodePoint(byte) : `%${byte.toString(16).toUpperCase()}`))
    .join('')
}

async function unlessVanished<T>(promise: Promise<T>): Promise<T | undefined> {
  return unless(promise, ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EINVAL'])
}

async function unlessUnresolved<T>(promise: Promise<T>): Promise<T | undefined> {
  return unless(promise, ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG'])
}

async function unless<T>(promise: Promise<T>, codes: readonly string[]): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof Error && 'code' in error && codes.includes(String(error.code))) return undefined
    throw error
  }
}

function tooDeep(path: string): Problem {
  return new Problem(
    'path-unsafe',
    `The directory ${quoteName(path)} lies deeper than ${deepest} directories.`,
    {
      hint: 'Fetch its parts one by one.',
    },
  )
}
