import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { encodeTarHeader, endMark, paddingBytes } from '../../files/tar-writer.ts'

/** What goes into a tar stream; paths are relative. */
export type TarEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number; readonly modifiedAt?: Date }
  | { readonly kind: 'text'; readonly path: string; readonly text: string }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | ({ readonly kind: 'file'; readonly path: string } & FileVersion)

/** A file of the server as it was when it was looked at. */
export interface FileVersion {
  readonly from: string
  readonly sizeBytes: number
  readonly mode: number
  readonly modifiedAt: Date
  readonly sha256?: string
}

/** A file changed while it was being sent. */
export class FileChangedError extends Error {
  override readonly name = 'FileChangedError'
}

const chunkBytes = 256 * 1024
const longAgo = new Date(0)

/** The entries as a tar stream, in chunks of about 256 KiB. Throws FileChangedError where a file is not what it was. */
export async function* tarBytes(entries: Iterable<TarEntry>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = []
  let waitingBytes = 0
  for (const entry of entries) {
    const pieces = entry.kind === 'file' && entry.sizeBytes > chunkBytes ? largeFile(entry) : [small(entry)]
    for await (const piece of pieces) {
      waiting.push(piece)
      waitingBytes += piece.length
      if (waitingBytes < chunkBytes) continue
      yield Buffer.concat(waiting)
      waiting = []
      waitingBytes = 0
    }
  }
  yield Buffer.concat([...waiting, endMark])
}

/** How many bytes `tarBytes` gives for these entries. */
export function tarLength(entries: Iterable<TarEntry>): number {
  let length = endMark.length
  for (const entry of entries) {
    if (entry.kind !== 'file') length += small(entry).length
    else {
      const { path, sizeBytes, mode, modifiedAt } = entry
      length += header('file', path, sizeBytes, mode, modifiedAt).length + sizeBytes + paddingBytes(sizeBytes)
    }
  }
  return length
}

function small(entry: TarEntry): Buffer {
  if (entry.kind === 'directory')
    return header('directory', entry.path, 0, entry.mode ?? 0o700, entry.modifiedAt)
  if (entry.kind === 'link') return header('link', entry.path, 0, 0o777, longAgo, entry.target)
  const content = entry.kind === 'text' ? Buffer.from(entry.text) : readSmall(entry)
  const mode = entry.kind === 'text' ? 0o600 : entry.mode
  const modifiedAt = entry.kind === 'text' ? new Date() : entry.modifiedAt
  return Buffer.concat([
    header('file', entry.path, content.length, mode, modifiedAt),
    content,
    Buffer.alloc(paddingBytes(content.length)),
  ])
}

/** In one go: a turn of the event loop for each of thousands of files would take longer than reading them. */
function readSmall(version: FileVersion): Buffer {
  const file = openSync(version.from, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const content = Buffer.allocUnsafe(version.sizeBytes)
    const bytesRead = version.sizeBytes === 0 ? 0 : readSync(file, content, 0, content.length, 0)
    if (bytesRead !== version.sizeBytes) throw changed(version)
    requireSame(version, fstatSync(file))
    return content
  } finally {
    closeSync(file)
  }
}

async function* largeFile(entry: FileVersion & { readonly path: string }): AsyncGenerator<Buffer> {
  const handle = await open(entry.from, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    yield header('file', entry.path, entry.sizeBytes, entry.mode, entry.modifiedAt)
    for (let position = 0; position < entry.sizeBytes;) {
      const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, entry.sizeBytes - position))
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, position)
      if (bytesRead === 0) throw changed(entry)
      position += bytesRead
      yield chunk.subarray(0, bytesRead)
    }
    requireSame(entry, await handle.stat())
    yield Buffer.alloc(paddingBytes(entry.sizeBytes))
  } finally {
    await handle.close()
  }
}

function requireSame(version: FileVersion, found: { readonly size: number; readonly mtime: Date }): void {
  if (found.size !== version.sizeBytes || found.mtime.getTime() !== version.modifiedAt.getTime())
    throw changed(version)
}

function changed({ from }: FileVersion): FileChangedError {
  return new FileChangedError(`The file ${from} changed while it was being sent.`)
}

function header(
  kind: 'file' | 'directory' | 'link',
  path: string,
  sizeBytes: number,
  mode: number,
  modifiedAt: Date = new Date(),
  target = '',
): Buffer {
  return encodeTarHeader({ kind, path, target, sizeBytes, mode, modifiedAt })
}
