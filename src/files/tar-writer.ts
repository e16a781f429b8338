import { Header, type HeaderData } from 'tar/header'
import { Pax } from 'tar/pax'

/** What the header of one entry says. */
export interface TarHeader {
  readonly kind: 'file' | 'directory' | 'link'
  readonly path: string
  /** Where a link points to; '' for others. */
  readonly target: string
  readonly sizeBytes: number
  /** Permission bits. */
  readonly mode: number
  readonly modifiedAt: Date
}

export const blockBytes = 512

/** Two empty blocks. */
export const endMark = Buffer.alloc(2 * blockBytes)

const types = { file: 'File', directory: 'Directory', link: 'SymbolicLink' } as const

/** The header blocks of an entry: ustar, with a PAX header before it where that does not suffice. Owner is root. */
export function encodeTarHeader({ kind, path, target, sizeBytes, mode, modifiedAt }: TarHeader): Buffer {
  const data: HeaderData = {
    path: kind === 'directory' ? `${path}/` : path,
    type: types[kind],
    size: sizeBytes,
    mode,
    uid: 0,
    gid: 0,
    mtime: modifiedAt,
  }
  if (kind === 'link') data.linkpath = target
  const header = Buffer.alloc(blockBytes)
  const needsPax = new Header(data).encode(header)
  return needsPax ? Buffer.concat([new Pax(data).encode(), header]) : header
}

/** How many bytes fill the last block of a content. */
export function paddingBytes(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes
}
