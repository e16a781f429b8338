import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename } from 'node:fs/promises'
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
  /** How many are under way: coming in, or not yet placed or discarded. */
  readonly underWay: number
  /** Deletes what no upload under way owns: left where deleting has failed. Answers with how many there were. */
  sweep(): Promise<number>
}

export interface Upload extends ReceivedArchive {
  /** Deletes what was not placed. */
  discard(): Promise<void>
}

/**
 * Uploads in a directory of their own, which is emptied first: what it holds was left by a server that was killed.
 * It must lie on the file system of the executions. `checkDisk` may refuse an upload before anything of it is written.
 */
export async function openUploads(
  directory: string,
  limits: ArchiveLimits,
  isolation?: Isolation,
  checkDisk: () => Promise<void> = async () => undefined,
): Promise<Uploads> {
  await removeTree(directory)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const names = new Set<string>()
  return {
    get underWay() {
      return names.size
    },
    async sweep() {
      const left = (await readdir(directory)).filter((name) => !names.has(name))
      for (const name of left) await removeTree(join(directory, name))
      return left.length
    },
    async receive(archive, signal) {
      await checkDisk()
      // Owned before it is there: a sweep never sees it as left over.
      const name = `upload-${randomUUID()}`
      names.add(name)
      const own = join(directory, name)
      const files = join(own, 'work')
      const discard = async () => {
        try {
          await removeTree(own)
        } finally {
          names.delete(name)
        }
      }
      try {
        await mkdir(own, { mode: 0o700 })
        const { digest } = await unpackArchive(archive, files, limits, signal, isolation)
        return { digest, place: (target) => rename(files, target), discard }
      } catch (error) {
        await discard()
        throw error
      }
    },
  }
}
