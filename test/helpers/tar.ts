import { gzipSync } from 'node:zlib'

/** One member of a tar archive, down to the fields of its header: sound by default, and as unsound as a test wants. */
export interface TarMember {
  readonly name: string | Buffer
  /** Type flag: '0' file (default), '1' hard link, '2' link, '3' '4' devices, '5' directory, '6' FIFO, 'x' 'g' PAX ... */
  readonly type?: string
  readonly content?: string | Buffer
  readonly target?: string
  readonly mode?: number
  readonly prefix?: string
  /** The size field as it is written, when it is to differ from the content's. */
  readonly sizeField?: string | Buffer
  /** The checksum field as it is written, when it is to be wrong. */
  readonly checksumField?: string
  /** '' makes a V7 header. */
  readonly magic?: string
}

const blockBytes = 512

/** The header and the padded content of one member (POSIX.1-2017 pax, "ustar Interchange Format"). */
export function tarMember(member: TarMember): Buffer {
  const content = Buffer.from(member.content ?? '')
  const header = Buffer.alloc(blockBytes)
  const write = (field: string | Buffer, offset: number, length: number) =>
    Buffer.from(field).copy(header, offset, 0, length)
  write(member.name, 0, 100)
  write(octal(member.mode ?? 0o644, 8), 100, 8)
  write(octal(0, 8), 108, 8)
  write(octal(0, 8), 116, 8)
  write(member.sizeField ?? octal(content.length, 12), 124, 12)
  write(octal(1_700_000_000, 12), 136, 12)
  write(member.type ?? '0', 156, 1)
  write(member.target ?? '', 157, 100)
  write(member.magic ?? 'ustar\u000000', 257, 8)
  write(member.prefix ?? '', 345, 155)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  write(member.checksumField ?? `${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
  return Buffer.concat([header, content, Buffer.alloc(paddingOf(content.length))])
}

/** A PAX header with these records before a member. */
export function paxHeader(records: Readonly<Record<string, string>>, type: 'x' | 'g' = 'x'): Buffer {
  const body = Object.entries(records).map(([key, value]) => paxRecord(key, value))
  return tarMember({ name: 'PaxHeaders/entry', type, content: Buffer.concat(body) })
}

/** A GNU header that gives the next member a long name ('L') or a long link target ('K'). */
export function gnuLongHeader(type: 'L' | 'K', text: string): Buffer {
  return tarMember({ name: '././@LongLink', type, content: `${text}\0`, magic: 'ustar  \0' })
}

/** A tar archive: members or ready-made pieces, and the end mark unless told otherwise. */
export function tarArchive(members: readonly (TarMember | Buffer)[], end: Buffer = endMark): Buffer {
  return Buffer.concat([
    ...members.map((member) => (Buffer.isBuffer(member) ? member : tarMember(member))),
    end,
  ])
}

/** The same, compressed. */
export function tarGzip(members: readonly (TarMember | Buffer)[], end?: Buffer): Buffer {
  return gzipSync(tarArchive(members, end))
}

export const endMark = Buffer.alloc(2 * blockBytes)

function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`)
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, '0')}\0`
}

function paddingOf(bytes: number): number {
  return (blockBytes - (bytes % blockBytes)) % blockBytes
}
