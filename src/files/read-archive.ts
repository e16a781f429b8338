import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { ratioFreeBytes, type ArchiveLimits } from './archive-limits.ts'
import { createQuarantine, type Unpacked } from './quarantine.ts'
import { archiveTooLarge, invalidArchive } from './refusal.ts'
import { syncTree } from './sync-tree.ts'
import { createTarReader } from './tar-reader.ts'

// Large chunks take half the processor time of the default.
const chunkBytes = 256 * 1024

/**
 * Reads a tar.gz stream to its end and writes its entries into `directory`, which has to be fresh. When it
 * returns, they outlive a power cut. What was written stays there when the archive is refused. Blocks while it writes: meant for a process of its own.
 *
 * @throws Problem `archive-invalid`, `archive-unsafe`, `archive-too-large`; system errors as they come.
 */
export async function readArchive(
  source: Readable,
  directory: string,
  limits: ArchiveLimits,
): Promise<Unpacked> {
  const quarantine = createQuarantine(directory, limits)
  const reader = createTarReader(quarantine)
  const gunzip = createGunzip({ chunkSize: chunkBytes })
  const beginning: number[] = []
  let unzippedBytes = 0
  source.on('data', (chunk: Buffer) => {
    if (beginning.length < 2) beginning.push(...chunk.subarray(0, 2))
  })
  source.on('error', (error) => gunzip.destroy(error))
  source.pipe(gunzip)
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      unzippedBytes += chunk.length
      if (unzippedBytes > ratioFreeBytes && unzippedBytes > limits.ratio * gunzip.bytesWritten)
        throw archiveTooLarge(`The archive unpacks to more than ${limits.ratio} times its size.`)
      reader.push(chunk)
    }
  } catch (error) {
    throw describeGzipError(error, beginning)
  }
  reader.end()
  // Zeros after the gzip stream end it early; the sender still wants to get rid of them.
  source.resume()
  if (!source.readableEnded) await once(source, 'end')
  const unpacked = quarantine.finish()
  await syncTree(directory)
  return unpacked
}

function describeGzipError(error: unknown, beginning: readonly number[]): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (typeof code !== 'string' || !code.startsWith('Z_')) return error
  if (code === 'Z_BUF_ERROR')
    return invalidArchive('The archive is cut short: the gzip stream has no end.', error)
  const [first, second] = beginning
  return first === 0x1f && second === 0x8b
    ? invalidArchive('The gzip stream of the archive is damaged.', error)
    : invalidArchive('The archive is not a gzip stream.', error)
}
