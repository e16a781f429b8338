import { mkdir, mkdtemp, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { ArchiveLimits } from '../files/archive-limits.ts'
import { removeTree } from '../files/remove-tree.ts'
import { unpackArchive } from '../files/unpack.ts'
import type { Isolation } from '../isolation/isolation.ts'
import type { ReceivedArchive } from './route.ts'

/** Work directories on their way in: unpacked, but not yet any execution's. */
export interface Uploads {
  /** Unpacks a tar.gz as it comes in. Throws what `unpackArchive` throws; then nothing is left. */
  receive(archive: Readable, signal: AbortSignal): Promise<Upload>
}

export interface Upload extends ReceivedArchive {
  /** Deletes what was not placed. */
  discard(): Promise<void>
}

/**
 * Uploads in a directory of their own, which is emptied first: what it holds was left by a server that was killed.
 * It must lie on the file system of the executions.
 */
export async function openUploads(
  directory: string,
  limits: ArchiveLimits,
  isolation?: Isolation,
): Promise<Uploads> {
  await removeTree(directory)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  return {
    async receive(archive, signal) {
      const own = await mkdtemp(join(directory, 'upload-'))
      const files = join(own, 'work')
      const discard = () => removeTree(own)
      try {
        await unpackArchive(archive, files, limits, signal, isolation)
      } catch (error) {
        await discard()
        throw error
      }
      return { place: (target) => rename(files, target), discard }
    },
  }
}
