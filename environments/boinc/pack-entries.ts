import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { tarBytes, type TarEntry } from '../../src/environment/job-files/tar-stream.ts'
import { syncDirectory } from '../../src/files/durable-file.ts'

/** A file of the project, named by what it holds: the same name never stands for other bytes. */
export interface PackedFile {
  readonly name: string
  readonly path: string
  readonly bytes: number
  readonly md5: string
}

/**
 * Packs entries as tar.gz into `directory`, under a name made of their MD5. On the disk when it returns. Throws
 * FileChangedError where a file changed meanwhile.
 */
export async function packEntries(
  entries: Iterable<TarEntry>,
  directory: string,
  prefix: string,
  signal: AbortSignal,
): Promise<PackedFile> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const temporary = join(directory, `.${randomUUID()}.tmp`)
  const digest = createHash('md5')
  let bytes = 0
  const count = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      digest.update(chunk)
      bytes += chunk.length
      callback(null, chunk)
    },
  })
  try {
    await pipeline(
      Readable.from(tarBytes(entries), { objectMode: false }),
      createGzip({ level: 6, chunkSize: 256 * 1024 }),
      count,
      createWriteStream(temporary, { flags: 'wx', mode: 0o600 }),
      { signal },
    )
    await syncFile(temporary)
    const md5 = digest.digest('hex')
    const name = `${prefix}_${md5}`
    const path = join(directory, name)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
    return { name, path, bytes, md5 }
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
