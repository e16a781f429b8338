import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar'
import { contentPath } from './content-store.ts'
import { scanContent } from './scan-tree.ts'
import { tarBytes } from './tar-stream.ts'

/**
 * Puts a file or directory of the server where a content of its hash is looked for, below `base`: for computers and
 * images that shall have it before any job comes. Gives its path below `base`.
 */
export async function exportContent(from: string, base: string, signal: AbortSignal): Promise<string> {
  const content = await scanContent(from, 'content', signal)
  const path = contentPath(content)
  const directory = join(base, path, '..')
  mkdirSync(directory, { recursive: true })
  const unpack = extract({ cwd: directory, strict: true, preserveOwner: false })
  await pipeline(Readable.from(tarBytes(content.entries), { objectMode: false }), unpack, { signal })
  return path
}
