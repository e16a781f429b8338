import {
  chmodSync,
  closeSync,
  constants,
  fdatasyncSync,
  futimesSync,
  mkdirSync,
  openSync,
  realpathSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join, sep } from 'node:path'
import type { ArchiveLimits } from './archive-limits.ts'
import { checkLinkTarget, createNameTree, splitEntryName } from './entry-names.ts'
import { archiveTooLarge, unsafeEntry } from './refusal.ts'
import type { TarEntry, TarSink } from './tar-reader.ts'

export interface Unpacked {
  /** Entries of the archive. */
  readonly entries: number
  /** Bytes of all files. */
  readonly bytes: number
}

export interface Quarantine extends TarSink {
  /** Makes the links, checks where each really leads, and gives the amounts. */
  finish(): Unpacked
}

interface Link {
  readonly name: string
  readonly target: string
}

// Names are kept in memory until the end.
const maximumNameBytes = 64 * 1024 ** 2
const directoryMode = 0o755
const setuid = 0o4000
const setgid = 0o2000
// So much of a large file at most is left to be synced at the end, which must not take long.
const unsyncedBytes = 64 * 1024 ** 2
// A fresh name that is nothing yet, not even a link.
const createNew = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Writes entries below `directory`, which has to be fresh and empty. No link exists there while files are written,
 * so nothing can be written through one. Synchronous: it runs in a process of its own, where this is fastest.
 *
 * @throws Problem `archive-unsafe` or `archive-too-large` for an entry that is refused, system errors as they come.
 */
export function createQuarantine(directory: string, limits: ArchiveLimits): Quarantine {
  const names = createNameTree(limits.entries)
  const links: Link[] = []
  let file: { descriptor: number; modifiedAt: Date | undefined; unsynced: number } | undefined
  let entries = 0
  let bytes = 0
  let metadataBytes = 0
  let nameBytes = 0

  function checkAmount(): void {
    if (bytes + metadataBytes > limits.unpackedBytes)
      throw archiveTooLarge(`The archive unpacks to more than ${limits.unpackedBytes} bytes.`)
    if (nameBytes > maximumNameBytes)
      throw archiveTooLarge(`The names in the archive take more than ${maximumNameBytes} bytes together.`)
  }

  function entry(entry: TarEntry): void {
    const parts = splitEntryName(entry.path)
    if (entry.mode & setuid) throw unsafeEntry(entry.path, 'has the setuid bit')
    // On directories of shared projects it is common and means nothing here: modes are fixed.
    if (entry.mode & setgid && entry.kind !== 'directory') throw unsafeEntry(entry.path, 'has the setgid bit')
    if (entry.kind === 'link') checkLinkTarget(entry.path, entry.target)
    bytes += entry.sizeBytes
    nameBytes += Buffer.byteLength(entry.path) + Buffer.byteLength(entry.target)
    checkAmount()
    for (const path of names.claim(entry.path, parts, entry.kind))
      mkdirSync(join(directory, path), directoryMode)
    entries += 1
    if (entry.kind === 'link') links.push({ name: entry.path, target: entry.target })
    if (entry.kind === 'file') {
      const mode = entry.mode & 0o100 ? 0o755 : 0o644
      file = {
        descriptor: openSync(join(directory, ...parts), createNew, mode),
        modifiedAt: entry.modifiedAt,
        unsynced: 0,
      }
    }
  }

  function data(chunk: Buffer): void {
    if (!file) throw new Error('content came without a file')
    writeAll(file.descriptor, chunk)
    file.unsynced += chunk.length
    if (file.unsynced <= unsyncedBytes) return
    fdatasyncSync(file.descriptor)
    file.unsynced = 0
  }

  function entryEnd(): void {
    if (!file) return
    const { descriptor, modifiedAt } = file
    file = undefined
    if (modifiedAt && isSensibleTime(modifiedAt)) futimesSync(descriptor, modifiedAt, modifiedAt)
    closeSync(descriptor)
  }

  function metadata(sizeBytes: number): void {
    metadataBytes += sizeBytes
    checkAmount()
  }

  function finish(): Unpacked {
    for (const link of links) symlinkSync(link.target, join(directory, link.name))
    const root = realpathSync.native(directory)
    for (const link of links) {
      const real = resolveLink(directory, link)
      if (real !== root && !real.startsWith(root + sep))
        throw unsafeEntry(link.name, 'is a link that leads out of the archive')
    }
    chmodSync(directory, directoryMode)
    return { entries, bytes }
  }

  return { entry, data, entryEnd, metadata, finish }
}

function resolveLink(directory: string, link: Link): string {
  try {
    return realpathSync.native(join(directory, link.name))
  } catch {
    throw unsafeEntry(link.name, 'is a link to something that is not in the archive, or to itself')
  }
}

/** Writes the whole chunk: on a full disk a single write may take a part of it without an error. */
function writeAll(descriptor: number, chunk: Buffer): void {
  let offset = 0
  while (offset < chunk.length) offset += writeSync(descriptor, chunk, offset, chunk.length - offset)
}

function isSensibleTime(time: Date): boolean {
  return time.getTime() >= 0 && time.getUTCFullYear() < 2400
}
