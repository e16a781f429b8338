import { constants, type Stats } from 'node:fs'
import { lstat, open, readlink, realpath, type FileHandle } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { Problem } from '../problem.ts'
import { splitInside, unsafePath } from './safe-path.ts'

/** A file or a directory that is open and known to lie inside a root. Whoever holds it closes the handle. */
export interface OpenedInside {
  readonly handle: FileHandle
  readonly stats: Stats
  /** Where it really lies, without links. For messages: read from the handle, never open again by path. */
  readonly path: string
}

// O_NONBLOCK: opening a named pipe must not wait for a writer.
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const missingCodes = new Set(['ENOENT', 'ENOTDIR', 'ENXIO', 'ELOOP', 'ENAMETOOLONG', 'EACCES', 'ENODEV'])

/**
 * Opens for reading what a client's path names inside `root`, a file or a directory; '' is the root itself.
 * Links are followed as long as they stay inside. The check is made on the open descriptor, so nothing that is
 * exchanged meanwhile can lead out. `root` itself must not be a link.
 *
 * @throws Problem `path-unsafe` when the path leaves the root, `file-missing` when there is nothing, or a named pipe,
 * a device or a socket.
 */
export async function openInside(root: string, path: string): Promise<OpenedInside> {
  const parts = splitInside(path)
  const rootHandle = await openDirectory(root)
  try {
    const inRoot = join(handlePath(rootHandle, root), ...parts)
    const handle = await openFollowing(rootHandle, root, inRoot, path)
    try {
      const real = await realPathOf(handle, inRoot)
      if (!isInside(await realPathOf(rootHandle, root), real))
        throw unsafePath(path, 'leads out of the directory')
      const stats = await handle.stat()
      if (!stats.isFile() && !stats.isDirectory()) throw fileMissing()
      return { handle, stats, path: real }
    } catch (error) {
      await handle.close()
      throw error
    }
  } finally {
    await rootHandle.close()
  }
}

/** Opens a directory that is not a link. */
export async function openDirectory(path: string): Promise<FileHandle> {
  return openOrMissing(path, openFlags | constants.O_DIRECTORY)
}

/**
 * A path by which children of an open directory can be reached, whatever becomes of its name. Where the system has no
 * /proc it is the given path, and only the checks that follow protect.
 */
export function handlePath(handle: FileHandle, path: string): string {
  return process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : path
}

/** Where an open file really lies. `path` is the one that it was opened by. */
export async function realPathOf(handle: FileHandle, path: string): Promise<string> {
  if (process.platform === 'linux') return readlink(`/proc/self/fd/${handle.fd}`)
  const real = await realpath(path).catch(() => undefined)
  const [opened, found] = await Promise.all([handle.stat(), real === undefined ? undefined : lstat(real)])
  if (real === undefined || found?.ino !== opened.ino || found.dev !== opened.dev) throw fileMissing()
  return real
}

/** Whether a real path is a real root or lies in it. */
export function isInside(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep)
}

export function fileMissing(cause?: unknown): Problem {
  return new Problem('file-missing', 'File not found', cause === undefined ? {} : { cause })
}

/** Whether an error says that there is nothing of use under a name, or no longer. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && missingCodes.has(String(error.code))
}

async function openFollowing(
  rootHandle: FileHandle,
  root: string,
  inRoot: string,
  path: string,
): Promise<FileHandle> {
  const { isLink } = await look(inRoot)
  if (!isLink) return openOrMissing(inRoot, openFlags)
  // It is followed by name; the descriptor is checked all the same.
  const real = await realpath(inRoot).catch((error: unknown) => {
    throw fileMissing(error)
  })
  if (!isInside(await realPathOf(rootHandle, root), real))
    throw unsafePath(path, 'leads out of the directory')
  await look(real)
  return openOrMissing(real, openFlags)
}

/** Looks before opening: a job that writes to a named pipe would be killed when its reader goes away again. */
async function look(path: string): Promise<{ isLink: boolean }> {
  const stats = await lstat(path).catch((error: unknown) => {
    throw isMissing(error) ? fileMissing(error) : error
  })
  const isLink = stats.isSymbolicLink()
  if (!isLink && !stats.isFile() && !stats.isDirectory()) throw fileMissing()
  return { isLink }
}

async function openOrMissing(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags)
  } catch (error) {
    throw isMissing(error) ? fileMissing(error) : error
  }
}
