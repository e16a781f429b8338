import { Header } from 'tar/header'
import { checkGlobalRecords, readPaxRecords, toPaxAttributes, type PaxAttributes } from './pax-records.ts'
import { archiveTooLarge, invalidArchive, quoteName, unsafeEntry } from './refusal.ts'

/** One entry as its headers describe it; nothing of it has been checked for safety. */
export interface TarEntry {
  readonly kind: 'file' | 'directory' | 'link'
  readonly path: string
  /** Where a link points to; '' for others. */
  readonly target: string
  readonly sizeBytes: number
  /** Permission bits including setuid and setgid. */
  readonly mode: number
  readonly modifiedAt: Date | undefined
}

/** Who takes what the reader finds: `entry`, then `data` for the content of files, then `entryEnd`. All synchronous. */
export interface TarSink {
  entry(entry: TarEntry): void
  data(chunk: Buffer): void
  entryEnd(): void
  /** Bytes of a metadata header: names and attributes. */
  metadata(sizeBytes: number): void
}

export interface TarReader {
  push(chunk: Buffer): void
  end(): void
}

type MetadataKind = 'pax' | 'global' | 'longPath' | 'longLink'

const blockBytes = 512
const metadataBytes = 64 * 1024
const paddingAfterEndBytes = 1024 ** 2
const zeros = Buffer.alloc(64 * 1024)

const metadataKinds: Readonly<Record<string, MetadataKind>> = {
  ExtendedHeader: 'pax',
  OldExtendedHeader: 'pax',
  GlobalExtendedHeader: 'global',
  NextFileHasLongPath: 'longPath',
  NextFileHasLongLinkpath: 'longLink',
}

const entryKinds: Readonly<Record<string, TarEntry['kind']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  SymbolicLink: 'link',
}

const refusedTypes: Readonly<Record<string, readonly [what: string, hint?: string]>> = {
  Link: ['is a hard link', 'Pack with --hard-dereference, so that every name has its content.'],
  CharacterDevice: ['is a device'],
  BlockDevice: ['is a device'],
  FIFO: ['is a named pipe'],
  SparseFile: ['is a sparse file', 'Pack without --sparse (-S).'],
}

/**
 * Reads a tar stream once, in chunks of any size, and refuses whatever is not in order.
 * Header blocks are decoded by node-tar's `Header` (ustar, V7, GNU); formats: POSIX.1-2017 pax, GNU tar manual
 * "Basic Tar Format". Its `Parser` is not used: it unzips again inside, keeps what follows the end mark in
 * memory and decodes metadata chunk by chunk, which breaks characters.
 */
export function createTarReader(sink: TarSink): TarReader {
  const partial = Buffer.alloc(blockBytes)
  let partialBytes = 0
  let blocks = 0
  let bodyBytes = 0
  let paddingBytes = 0
  let bytesAfterEnd = -1
  let metadata: { kind: MetadataKind; parts: Buffer[] } | undefined
  let pending: Partial<Record<MetadataKind, Buffer>> = {}

  function push(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      if (bytesAfterEnd >= 0) offset += takeAfterEnd(chunk.subarray(offset))
      else if (bodyBytes > 0) offset += takeBody(chunk.subarray(offset, offset + bodyBytes))
      else if (paddingBytes > 0) offset += takePadding(chunk.length - offset)
      else offset += takeHeader(chunk, offset)
    }
  }

  function takeHeader(chunk: Buffer, offset: number): number {
    if (partialBytes === 0 && chunk.length - offset >= blockBytes) {
      readBlock(chunk.subarray(offset, offset + blockBytes))
      return blockBytes
    }
    const taken = chunk.copy(partial, partialBytes, offset, offset + blockBytes - partialBytes)
    partialBytes += taken
    if (partialBytes === blockBytes) {
      partialBytes = 0
      readBlock(partial)
    }
    return taken
  }

  function readBlock(block: Buffer): void {
    blocks += 1
    if (isZero(block)) {
      refuseLonelyMetadata()
      bytesAfterEnd = 0
      return
    }
    const attributes = attributesOf(pending)
    const header = decode(block, attributes)
    // `Header` takes type and size with the attributes, but puts its own prefix and link target over theirs.
    const name = attributes.path ?? header.path ?? ''
    const target = attributes.linkpath ?? header.linkpath ?? ''
    if (header.size === undefined)
      throw invalidArchive(`Entry ${quoteName(name)} has no readable size in its header.`)
    const kind = metadataKinds[header.type]
    if (kind) startMetadata(kind, header.size)
    else startEntry(header, name, target, String.fromCodePoint(block[156] ?? 0))
    bodyBytes = header.size
    paddingBytes = (blockBytes - (header.size % blockBytes)) % blockBytes
    if (bodyBytes === 0) finishBody()
  }

  function decode(block: Buffer, attributes: PaxAttributes): Header {
    let header: Header | undefined
    let cause: unknown
    try {
      header = new Header(block, 0, attributes)
    } catch (error) {
      cause = error
    }
    if (header?.cksumValid) return header
    if (blocks === 1) throw invalidArchive('What the gzip stream holds is not a tar archive.', cause)
    throw invalidArchive(`Header ${blocks} of the archive is damaged.`, cause)
  }

  function startMetadata(kind: MetadataKind, sizeBytes: number): void {
    if (pending[kind]) throw invalidArchive('An entry of the archive has the same extra header twice.')
    if (sizeBytes > metadataBytes)
      throw archiveTooLarge(`An extra header of ${sizeBytes} bytes came; at most ${metadataBytes} are read.`)
    sink.metadata(sizeBytes)
    metadata = { kind, parts: [] }
  }

  function startEntry(header: Header, name: string, target: string, typeFlag: string): void {
    pending = {}
    const kind = entryKinds[header.type]
    if (!kind) {
      const [what, hint] = refusedTypes[header.type] ?? [`has the unknown type ${quoteName(typeFlag)}`]
      throw unsafeEntry(name, what, hint)
    }
    if (kind !== 'file' && header.size) throw invalidArchive(`The ${kind} ${quoteName(name)} has content.`)
    sink.entry({
      kind,
      path: name,
      target: kind === 'link' ? target : '',
      sizeBytes: header.size ?? 0,
      mode: header.mode ?? 0o644,
      modifiedAt: header.mtime,
    })
  }

  function takeBody(chunk: Buffer): number {
    // Copied, because the decompressor may use its buffer again.
    if (metadata) metadata.parts.push(Buffer.from(chunk))
    else sink.data(chunk)
    bodyBytes -= chunk.length
    if (bodyBytes === 0) finishBody()
    return chunk.length
  }

  function finishBody(): void {
    if (!metadata) {
      sink.entryEnd()
      return
    }
    const body = Buffer.concat(metadata.parts)
    if (metadata.kind === 'global') checkGlobalRecords(readPaxRecords(body))
    pending[metadata.kind] = body
    metadata = undefined
  }

  function takePadding(available: number): number {
    const taken = Math.min(available, paddingBytes)
    paddingBytes -= taken
    return taken
  }

  function takeAfterEnd(chunk: Buffer): number {
    const slice = chunk.subarray(0, zeros.length)
    if (!isZero(slice)) throw invalidArchive('The archive goes on after its end mark.')
    bytesAfterEnd += slice.length
    if (bytesAfterEnd > paddingAfterEndBytes)
      throw invalidArchive('More than 1 MiB of padding follows the end mark of the archive.')
    return slice.length
  }

  function refuseLonelyMetadata(): void {
    const { pax, longPath, longLink } = pending
    if (pax || longPath || longLink)
      throw invalidArchive('The archive ends after an extra header without its entry.')
  }

  function end(): void {
    if (blocks === 0)
      throw invalidArchive('What the gzip stream holds is not a tar archive: it has no header.')
    if (partialBytes > 0 || bodyBytes > 0 || paddingBytes > 0 || bytesAfterEnd < 0)
      throw invalidArchive('The archive is cut short: its end mark is missing.')
  }

  return { push, end }
}

function attributesOf(pending: Partial<Record<MetadataKind, Buffer>>): PaxAttributes {
  const attributes: PaxAttributes = {}
  if (pending.longPath) attributes.path = untilNul(pending.longPath)
  if (pending.longLink) attributes.linkpath = untilNul(pending.longLink)
  return pending.pax ? { ...attributes, ...toPaxAttributes(readPaxRecords(pending.pax)) } : attributes
}

function untilNul(body: Buffer): string {
  const end = body.indexOf(0)
  return body.toString('utf8', 0, end < 0 ? body.length : end)
}

function isZero(chunk: Buffer): boolean {
  return chunk.equals(zeros.subarray(0, chunk.length))
}
