import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ArchiveLimits } from '../files/archive-limits.ts'
import { removeTree } from '../files/remove-tree.ts'
import { StartTurns } from '../files/start-turns.ts'
import { unpackArchive } from '../files/unpack.ts'
import type { Isolation } from '../isolation/isolation.ts'
import { Problem } from '../problem.ts'
import type { UploadRoom } from '../users/quotas.ts'
import { bodyTooLarge } from './read-body.ts'
import type { ReceivedArchive, ReceivedFile } from './route.ts'

/** Work directories on their way in: unpacked, but not yet any execution's. */
export interface Uploads {
  /**
   * Unpacks a tar.gz as it comes in, of which there may be less room than for any. Throws what `unpackArchive` throws, and
   * what the room says; then nothing is left.
   */
  receive(archive: Readable, signal: AbortSignal, room?: UploadRoom): Promise<Upload>
  /**
   * Writes a file to the disk as it comes in; it is synced when this returns. Whoever gives the stream bounds it. Throws
   * the error of the stream and that of the disk, and body-too-large with more bytes than may come; then nothing is left.
   */
  receiveFile(file: Readable, signal: AbortSignal, most?: MostBytes): Promise<FileUpload>
  /** How many are under way: coming in, or not yet placed or discarded. */
  readonly underWay: number
  /** Deletes what no upload under way owns: left where deleting has failed. Answers with how many there were. */
  sweep(): Promise<number>
}

export interface Upload extends ReceivedArchive {
  /** Deletes what was not placed. */
  discard(): Promise<void>
}

export interface FileUpload extends Pick<ReceivedFile, 'place' | 'digest' | 'sizeBytes'> {
  /** Deletes what was not placed. */
  discard(): Promise<void>
}

/** How large a file may be, and how much room there is. */
export interface MostBytes {
  readonly bytes?: number | undefined
  readonly room?: UploadRoom | undefined
}

/** So many readers of archives start at once; once they read, they may be as many as there are uploads. */
const mostStarting = 2

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
  const turns = new StartTurns(mostStarting)
  return {
    get underWay() {
      return names.size
    },
    async sweep() {
      const left = (await readdir(directory)).filter((name) => !names.has(name))
      for (const name of left) await removeTree(join(directory, name))
      return left.length
    },
    receive: (archive, signal, room) =>
      take(async (own) => {
        const files = join(own, 'work')
        const unpackedBytes = Math.min(limits.unpackedBytes, room?.bytes ?? limits.unpackedBytes)
        const held = { ...limits, unpackedBytes }
        const { digest } = await unpackArchive(archive, files, held, signal, isolation, turns).catch(
          (error: unknown) => {
            const isFull = unpackedBytes < limits.unpackedBytes && isTooLarge(error)
            throw isFull && room !== undefined ? room.exceeded() : error
          },
        )
        return { digest, place: (target: string) => rename(files, target) }
      }),
    receiveFile: (stream, signal, most = {}) =>
      take(async (own) => {
        const file = join(own, 'file')
        const written = await writeFile(stream, file, signal, most)
        return { ...written, place: (target: string) => rename(file, target) }
      }),
  }

  /** Gives each upload a directory of its own, which is gone when it fails. */
  async function take<Received>(
    receive: (own: string) => Promise<Received>,
  ): Promise<Received & { discard(): Promise<void> }> {
    await checkDisk()
    // Owned before it is there: a sweep never sees it as left over.
    const name = `upload-${randomUUID()}`
    names.add(name)
    const own = join(directory, name)
    const discard = async () => {
      try {
        await removeTree(own)
      } finally {
        names.delete(name)
      }
    }
    try {
      await mkdir(own, { mode: 0o700 })
      return { ...(await receive(own)), discard }
    } catch (error) {
      await discard()
      throw error
    }
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Problem && error.code === 'archive-too-large'
}

/** Writes and syncs a stream; answers with the SHA-256 of what came. */
async function writeFile(
  stream: Readable,
  path: string,
  signal: AbortSignal,
  { bytes: bytesAtMost = Number.POSITIVE_INFINITY, room }: MostBytes,
): Promise<Pick<FileUpload, 'digest' | 'sizeBytes'>> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  const file = await open(path, 'wx', 0o600)
  await pipeline(
    stream,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        sizeBytes += chunk.length
        // Said to the stream as well: who reads the request hears of it there first.
        if (sizeBytes > bytesAtMost) stream.destroy(bodyTooLarge(bytesAtMost))
        else if (room !== undefined && sizeBytes > room.bytes) stream.destroy(room.exceeded())
        hash.update(chunk)
        yield chunk
      }
    },
    file.createWriteStream({ flush: true }),
    { signal },
  )
  return { digest: hash.digest('hex'), sizeBytes }
}
