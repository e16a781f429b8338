import { createHash } from 'node:crypto'
import { lstat, opendir } from 'node:fs/promises'
import { join, relative } from 'node:path'

const atOnce = 64

/**
 * Tells one state of a directory from another by what the file system knows of all that lies in it; no file is read.
 * Any write changes it. Links are told, not followed. Throws the system error when something vanishes meanwhile.
 */
export async function fingerprint(directory: string): Promise<string> {
  const paths: string[] = []
  for await (const entry of await opendir(directory, { recursive: true }))
    paths.push(join(entry.parentPath, entry.name))
  paths.sort()
  const hash = createHash('sha256')
  for (let start = 0; start < paths.length; start += atOnce) {
    const some = await Promise.all(
      paths.slice(start, start + atOnce).map((path) => describe(directory, path)),
    )
    for (const line of some) hash.update(line)
  }
  return hash.digest('base64')
}

async function describe(directory: string, path: string): Promise<string> {
  const { ino, mode, size, mtimeNs, ctimeNs } = await lstat(path, { bigint: true })
  return `${relative(directory, path)}\0${ino} ${mode} ${size} ${mtimeNs} ${ctimeNs}\0`
}
