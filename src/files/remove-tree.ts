import { constants } from 'node:fs'
import { chmod, open, readdir, rm, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { handlePath } from './safe-open.ts'

/** Linux' O_PATH, which Node does not name: a handle that also a directory gives that its owner may not read. */
const pathOnly = 0o10000000
const atOnce = 32
const noFile = ['EISDIR', 'EPERM']
const notEmpty = ['ENOTEMPTY', 'EEXIST']
/** How often a directory is looked into again in which something new was found at its end. */
const mostTries = 4

/**
 * Removes a file or a directory with all that lies in it; what is missing is fine. Links are removed, never followed,
 * also those that take the place of a directory meanwhile. Directories that jobs left without write permission are
 * opened up first.
 */
export async function removeTree(path: string): Promise<void> {
  // Elsewhere there is no way to hold on to a directory that is being emptied.
  if (process.platform !== 'linux') await rm(path, { recursive: true, force: true, maxRetries: 3 })
  else await remove(path)
}

async function remove(path: string): Promise<void> {
  if (!(await isGone(unlink(path), noFile))) await removeDirectory(path)
}

async function removeDirectory(path: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    // Somebody else may be removing it as well.
    await isGone(empty(path), [])
    if (await isGone(rmdir(path), tries < mostTries ? notEmpty : [])) return
  }
}

async function empty(path: string): Promise<void> {
  const handle = await open(path, pathOnly | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    const directory = handlePath(handle, path)
    try {
      await removeAll(directory)
    } catch (error) {
      if (codeOf(error) !== 'EACCES') throw error
      await chmod(directory, 0o700)
      await removeAll(directory)
    }
  } finally {
    await handle.close()
  }
}

/** Directories go one after the other: each is held open while it is emptied. */
async function removeAll(directory: string): Promise<void> {
  const names = await readdir(directory)
  const directories: string[] = []
  for (let start = 0; start < names.length; start += atOnce)
    await Promise.all(
      names.slice(start, start + atOnce).map(async (name) => {
        if (!(await isGone(unlink(join(directory, name)), noFile))) directories.push(name)
      }),
    )
  for (const name of directories) await removeDirectory(join(directory, name))
}

/** Whether a removal leaves nothing; false for the errors that are expected. */
async function isGone(removal: Promise<void>, expected: readonly string[]): Promise<boolean> {
  try {
    await removal
    return true
  } catch (error) {
    const code = codeOf(error) ?? ''
    if (code === 'ENOENT') return true
    if (expected.includes(code)) return false
    throw error
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
