import { invalidArchive, quoteName, unsafeEntry } from './refusal.ts'

/** What a PAX header says about the next entry, as far as it is used here. */
export interface PaxAttributes {
  path?: string
  linkpath?: string
  size?: number
  mtime?: Date
}

const space = 0x20
const newline = 0x0a
const equalsSign = 0x3d
const longestLength = 10

/**
 * Reads the records `length key=value\n` of a PAX header (POSIX.1-2017, pax, "pax Extended Header").
 * Node-tar's own reader passes over records whose length is wrong and breaks values at line ends; here every
 * byte has to be accounted for.
 *
 * @throws Problem `archive-invalid` when a record is damaged.
 */
export function readPaxRecords(body: Buffer): Map<string, string> {
  const records = new Map<string, string>()
  let start = 0
  while (start < body.length) {
    const end = start + readLength(body, start)
    const keyStart = body.indexOf(space, start) + 1
    const equals = body.indexOf(equalsSign, keyStart)
    if (
      end > body.length ||
      end <= keyStart ||
      body[end - 1] !== newline ||
      equals < keyStart ||
      equals >= end
    )
      throw damaged()
    records.set(body.toString('utf8', keyStart, equals), body.toString('utf8', equals + 1, end - 1))
    start = end
  }
  return records
}

/** The attributes of one entry. An empty value takes an attribute back, as POSIX has it. */
export function toPaxAttributes(records: ReadonlyMap<string, string>): PaxAttributes {
  const attributes: PaxAttributes = {}
  const path = records.get('path')
  const linkpath = records.get('linkpath')
  const size = records.get('size')
  const mtime = Number(records.get('mtime') || Number.NaN)
  refuseSparse(records, path ?? '')
  if (path) attributes.path = path
  if (linkpath) attributes.linkpath = linkpath
  if (size) attributes.size = readSize(size)
  if (Number.isFinite(mtime)) attributes.mtime = new Date(mtime * 1000)
  return attributes
}

/** A global header may carry comments and times, as `git archive` writes them, but never name entries. */
export function checkGlobalRecords(records: ReadonlyMap<string, string>): void {
  refuseSparse(records, '')
  for (const key of ['path', 'linkpath', 'size'])
    if (records.has(key)) throw invalidArchive(`A global PAX header sets ${quoteName(key)} for every entry.`)
}

function readLength(body: Buffer, start: number): number {
  const end = body.indexOf(space, start)
  const digits = end < 0 || end - start > longestLength ? '' : body.toString('latin1', start, end)
  if (!/^[1-9]\d*$/.test(digits)) throw damaged()
  return Number(digits)
}

function readSize(text: string): number {
  const size = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(size))
    throw invalidArchive(`A PAX header gives the size ${quoteName(text)}; expected a whole number of bytes.`)
  return size
}

function refuseSparse(records: ReadonlyMap<string, string>, path: string): void {
  for (const key of records.keys())
    if (key.startsWith('GNU.sparse.') || key === 'SCHILY.realsize')
      throw unsafeEntry(
        records.get('GNU.sparse.name') ?? path,
        'is a sparse file',
        'Pack without --sparse (-S).',
      )
}

function damaged() {
  return invalidArchive('A PAX header of the archive is damaged: a record has a wrong length.')
}
