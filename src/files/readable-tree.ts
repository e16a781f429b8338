import { chmod, lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Lets every user of this computer read a directory with all that lies in it, as far as the directories above let him
 * get there. Links are left alone.
 */
export async function makeReadable(directory: string): Promise<void> {
  await addMode(directory, 0o555)
  for await (const entry of await opendir(directory)) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await makeReadable(path)
    else if (entry.isFile()) await addMode(path, 0o444)
  }
}

async function addMode(path: string, bits: number): Promise<void> {
  const { mode } = await lstat(path)
  if ((mode & bits) !== bits) await chmod(path, (mode | bits) & 0o777)
}
