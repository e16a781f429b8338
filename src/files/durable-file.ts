import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Replaces a file so that after a crash or a power cut there is either the old content or the new, whole: written
 * under another name beside it, synced, renamed, and the directory synced. When it returns, the new content stays.
 *
 * @param mode permission bits of the file, whatever the umask says.
 * @throws the system error; the old file is then untouched.
 */
export async function writeFileDurably(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `.${basename(path)}.${randomUUID()}.tmp`)
  try {
    await writeSynced(temporary, Buffer.from(data), mode)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(directory)
}

async function writeSynced(path: string, data: Buffer, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.chmod(mode)
    // A single write may take only a part on a full disk, without an error.
    for (let offset = 0; offset < data.length;) offset += (await file.write(data, offset)).bytesWritten
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Returns when the names in a directory would outlive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
