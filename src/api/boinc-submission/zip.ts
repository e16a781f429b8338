import { crc32 } from 'node:zlib'

/** A file that goes into an archive. */
export interface ZipEntry {
  /** Path in the archive. */
  readonly name: string
  readonly read: () => AsyncIterable<Buffer>
  readonly bytes: number
}

const mostBytes = 2 ** 32 - 1
const mostEntries = 2 ** 16 - 1

/** Whether files can be one archive without the extension for larger ones. */
export function fitsZip(entries: readonly ZipEntry[]): boolean {
  const bytes = entries.reduce((sum, each) => sum + each.bytes + 2 * each.name.length + 200, 0)
  return entries.length <= mostEntries && bytes <= mostBytes
}

/**
 * An archive of files as they are, without compression (PKWARE APPNOTE 6.3, stored entries with data descriptors). The
 * files are read as the archive is. Throws where one has changed its size meanwhile.
 */
export async function* writeZip(entries: readonly ZipEntry[]): AsyncGenerator<Buffer> {
  const directory: Buffer[] = []
  let offset = 0
  for (const { name, read, bytes } of entries) {
    const encoded = Buffer.from(name, 'utf8')
    const header = localHeader(encoded)
    yield header
    let crc = 0
    let readBytes = 0
    for await (const chunk of read()) {
      crc = crc32(chunk, crc)
      readBytes += chunk.length
      yield chunk
    }
    if (readBytes !== bytes) throw new Error(`${name} has changed while it was read.`)
    yield descriptor(crc, bytes)
    directory.push(centralHeader(encoded, crc, bytes, offset))
    offset += header.length + bytes + descriptorBytes
  }
  const central = Buffer.concat(directory)
  yield central
  yield endOfDirectory(entries.length, central.length, offset)
}

const descriptorBytes = 16
/** Sizes follow the data, and names are UTF-8. */
const flags = 0x08 | 0x800
/** 1 January 1980: the archive of the same files is the same. */
const date = 0x21

function localHeader(name: Buffer): Buffer {
  const header = Buffer.alloc(30)
  header.writeUInt32LE(0x04034b50, 0)
  header.writeUInt16LE(20, 4)
  header.writeUInt16LE(flags, 6)
  header.writeUInt16LE(date, 12)
  header.writeUInt16LE(name.length, 26)
  return Buffer.concat([header, name])
}

function descriptor(crc: number, bytes: number): Buffer {
  const record = Buffer.alloc(descriptorBytes)
  record.writeUInt32LE(0x08074b50, 0)
  record.writeUInt32LE(crc, 4)
  record.writeUInt32LE(bytes, 8)
  record.writeUInt32LE(bytes, 12)
  return record
}

function centralHeader(name: Buffer, crc: number, bytes: number, offset: number): Buffer {
  const header = Buffer.alloc(46)
  header.writeUInt32LE(0x02014b50, 0)
  header.writeUInt16LE(20, 4)
  header.writeUInt16LE(20, 6)
  header.writeUInt16LE(flags, 8)
  header.writeUInt16LE(date, 14)
  header.writeUInt32LE(crc, 16)
  header.writeUInt32LE(bytes, 20)
  header.writeUInt32LE(bytes, 24)
  header.writeUInt16LE(name.length, 28)
  header.writeUInt32LE(offset, 42)
  return Buffer.concat([header, name])
}

function endOfDirectory(entries: number, bytes: number, offset: number): Buffer {
  const record = Buffer.alloc(22)
  record.writeUInt32LE(0x06054b50, 0)
  record.writeUInt16LE(entries, 8)
  record.writeUInt16LE(entries, 10)
  record.writeUInt32LE(bytes, 12)
  record.writeUInt32LE(offset, 16)
  return record
}
