import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../files/durable-file.ts'
import { keyNames, makeKey, readIfThere, writeKeyFile } from './key-files.ts'
import { readUploadKey, type UploadKey } from './protocol/signatures.ts'

/** A key that upload certificates were made with before. */
export interface OlderUploadKey {
  readonly key: UploadKey
  /** Milliseconds since 1970: what was given to hosts from then on has certificates of the next key. */
  readonly until: number
}

/** Makes the upload key that the server takes at its next start. */
export async function makeNextUploadKey(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await makeKey(directory, keyNames.nextUpload)
}

/**
 * Puts the next upload key, if one was made, in the place of the one in use: only the server may, as it signs with one of
 * them at a time. The one before is kept, for certificates that were made with it.
 */
export async function takeNextUploadKey(directory: string, now: () => number): Promise<void> {
  if ((await readIfThere(join(directory, keyNames.nextUpload))) === undefined) return
  const pem = await readIfThere(join(directory, keyNames.upload))
  if (pem !== undefined) {
    const older = join(directory, keyNames.olderUploads)
    await mkdir(older, { recursive: true, mode: 0o700 })
    await writeKeyFile(older, `${now()}.pem`, pem)
  }
  await rename(join(directory, keyNames.nextUpload), join(directory, keyNames.upload))
  await syncDirectory(directory)
}

/** The keys before the one in use, the newest first. */
export async function readOlderUploadKeys(directory: string): Promise<readonly OlderUploadKey[]> {
  const older = join(directory, keyNames.olderUploads)
  if (!existsSync(older)) return []
  const names = (await readdir(older)).filter((name) => /^\d+\.pem$/.test(name))
  const keys = await Promise.all(
    names.map(async (name) => ({
      key: readUploadKey(await readFile(join(older, name), 'utf8')),
      until: Number(name.slice(0, -'.pem'.length)),
    })),
  )
  return keys.toSorted((one, other) => other.until - one.until)
}
