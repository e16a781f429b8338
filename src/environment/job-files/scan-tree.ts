import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
} from 'node:fs'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TarEntry } from './tar-stream.ts'

/** What lies at a path of the server at one moment, with a name made of its content. */
export interface Content {
  /** Letters and digits: the same for the same files, permissions to run them and links, whatever their times. */
  readonly hash: string
  readonly bytes: number
  /** Ready to be sent, with paths that begin with the one given; each directory before what lies in it. */
  readonly entries: readonly TarEntry[]
}

/** Longest time for which the event loop is kept from other work. */
const turnMs = 8
const chunkBytes = 1024 * 1024

/**
 * Reads a file or a directory and all that lies in it. Links inside a directory to what lies in it are kept, links out
 * of it are followed where they lead to a file inside of `linksWithin`, else left out, as are pipes, devices and sockets.
 */
export async function scanContent(
  from: string,
  path: string,
  signal: AbortSignal,
  linksWithin = '/',
): Promise<Content> {
  const root = realpathSync.native(from)
  const scan: Scan = {
    root,
    linksWithin,
    entries: [],
    digest: createHash('sha256'),
    bytes: 0,
    turnBegan: performance.now(),
  }
  const stats = lstatSync(root)
  await (stats.isFile() ? scanFile : scanDirectory)(scan, root, path, '', signal)
  return { hash: finish(scan), bytes: scan.bytes, entries: scan.entries }
}

interface Scan {
  readonly root: string
  readonly linksWithin: string
  readonly entries: TarEntry[]
  readonly digest: ReturnType<typeof createHash>
  bytes: number
  turnBegan: number
}

const finish = ({ digest }: Scan): string => digest.digest('hex').slice(0, 40)

/** `name` is the path below the root: the hash must not depend on where the content is put. */
async function scanDirectory(
  scan: Scan,
  from: string,
  path: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  scan.entries.push({ kind: 'directory', path })
  scan.digest.update(`d ${JSON.stringify(name)}\n`)
  const children = readdirSync(from, { withFileTypes: true })
  children.sort((one, other) => (one.name < other.name ? -1 : 1))
  for (const child of children) {
    await pause(scan, signal)
    const [childFrom, childPath, childName] = [from, path, name].map((at) => join(at, child.name)) as [
      string,
      string,
      string,
    ]
    if (child.isDirectory()) await scanDirectory(scan, childFrom, childPath, childName, signal)
    else if (child.isFile()) await scanFile(scan, childFrom, childPath, childName, signal)
    else if (child.isSymbolicLink()) await scanLink(scan, childFrom, childPath, childName, signal)
  }
}

async function scanLink(
  scan: Scan,
  from: string,
  path: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const real = realPathOf(from)
  if (real === undefined) return
  if (real !== scan.root && !real.startsWith(scan.root + sep)) {
    if (isInside(real, scan.linksWithin) && lstatSync(real).isFile())
      await scanFile(scan, real, path, name, signal)
    return
  }
  const text = readlinkSync(from)
  // An absolute target means nothing elsewhere.
  const target = isAbsolute(text) ? relative(dirname(from), real) || '.' : text
  scan.entries.push({ kind: 'link', path, target })
  scan.digest.update(`l ${JSON.stringify([name, target])}\n`)
}

async function scanFile(
  scan: Scan,
  from: string,
  path: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const own = createHash('sha256')
  const file = openSync(from, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(file)
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, Math.max(stats.size, 1)))
    let sizeBytes = 0
    for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk)) {
      own.update(chunk.subarray(0, count))
      sizeBytes += count
      await pause(scan, signal)
    }
    const sha256 = own.digest('hex')
    const mode = (stats.mode & 0o100) === 0 ? 0o400 : 0o500
    scan.entries.push({ kind: 'file', path, from, sizeBytes, mode, modifiedAt: stats.mtime, sha256 })
    scan.digest.update(`f ${JSON.stringify([name, mode, sha256])}\n`)
    scan.bytes += sizeBytes
  } finally {
    closeSync(file)
  }
}

async function pause(scan: Scan, signal: AbortSignal): Promise<void> {
  if (performance.now() - scan.turnBegan < turnMs) return
  await nextTurn(undefined, { signal })
  scan.turnBegan = performance.now()
}

/** Whether a path without links is a directory or lies in it. */
export function isInside(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(directory + sep)
}

function realPathOf(path: string): string | undefined {
  try {
    return realpathSync.native(path)
  } catch {
    return undefined
  }
}
