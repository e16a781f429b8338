import { constants } from 'node:fs'
import { chmod, cp, lstat, mkdir, opendir, readdir } from 'node:fs/promises'
import { join } from 'node:path'

const ownerMay = 0o600

/**
 * Copies a directory to a path that is not there yet, or is an empty directory. Files share their blocks where the file
 * system can do that, so that each may be written without touching the other. Links stay as they are, and the owner may
 * write everything, whatever the source says. Throws the system error; what was copied by then stays.
 */
export async function copyTree(source: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true })
  await chmod(target, 0o700)
  const options = {
    recursive: true,
    verbatimSymlinks: true,
    errorOnExist: true,
    force: false,
    mode: constants.COPYFILE_FICLONE,
  }
  for (const name of await readdir(source)) await cp(join(source, name), join(target, name), options)
  await openUp(target)
}

/** Before a directory is looked into: one that its owner may not enter could not be read. */
async function openUp(directory: string): Promise<void> {
  for await (const entry of await opendir(directory)) {
    const path = join(directory, entry.name)
    if (!entry.isDirectory() && !entry.isFile()) continue
    const { mode } = await lstat(path)
    const wanted = mode | ownerMay | (entry.isDirectory() ? 0o100 : 0)
    if (wanted !== mode) await chmod(path, wanted & 0o777)
    if (entry.isDirectory()) await openUp(path)
  }
}
