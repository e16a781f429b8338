import type { Stats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileMissing, handlePath, isMissing, openInside } from './safe-open.ts'

export interface DirectoryEntry {
  readonly name: string
  readonly type: 'file' | 'directory' | 'link' | 'other'
  readonly sizeBytes: number
  readonly modifiedAt: Date
}

const atOnce = 64

/**
 * What lies in a directory inside `root`, sorted by name; '' is the root itself. Links are told, not followed.
 *
 * @throws Problem `path-unsafe` or `file-missing`, as `openInside`; also `file-missing` when it is no directory.
 */
export async function listDirectory(root: string, path: string): Promise<DirectoryEntry[]> {
  const opened = await openInside(root, path)
  try {
    if (!opened.stats.isDirectory()) throw fileMissing()
    const directory = handlePath(opened.handle, opened.path)
    const names = (await readdir(directory)).sort()
    const entries: DirectoryEntry[] = []
    for (let start = 0; start < names.length; start += atOnce) {
      const some = await Promise.all(
        names.slice(start, start + atOnce).map((name) => describe(directory, name)),
      )
      entries.push(...some.filter((entry) => entry !== undefined))
    }
    return entries
  } finally {
    await opened.handle.close()
  }
}

/** Undefined for what has vanished meanwhile. */
async function describe(directory: string, name: string): Promise<DirectoryEntry | undefined> {
  try {
    const stats = await lstat(join(directory, name))
    return { name, type: typeOf(stats), sizeBytes: stats.size, modifiedAt: stats.mtime }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function typeOf(stats: Stats): DirectoryEntry['type'] {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'link' : 'other'
}
