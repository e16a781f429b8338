import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { existsSync } from 'node:fs'
import { hashOf, listFullLogs, nothingBefore, readAt, readPlace } from './audit-files.ts'

export type AuditFinding =
  /** `first` is the number of the first entry: more than 1 where full logs were moved away. */
  | { readonly kind: 'whole'; readonly lines: number; readonly first: number }
  | { readonly kind: 'broken'; readonly file: string; readonly line: number; readonly reason: string }

/** How far the chain has been followed. */
interface Chain {
  /** Number and hash of the last line, unless nothing was read yet. */
  last: { readonly sequence: number; readonly hash: string } | undefined
  first: number
  lines: number
}

/**
 * Whether every line of an audit log follows from the one before, over the full logs beside it and the one that is
 * written. Throws the system error when one cannot be read.
 */
export async function verifyAudit(path: string): Promise<AuditFinding> {
  const chain: Chain = { last: undefined, first: 1, lines: 0 }
  const files = [...(await listFullLogs(path)), ...(existsSync(path) ? [path] : [])]
  for (const file of files) {
    const broken = await follow(chain, file)
    if (broken !== undefined) return { kind: 'broken', file, ...broken }
  }
  return { kind: 'whole', lines: chain.lines, first: chain.first }
}

async function follow(chain: Chain, path: string): Promise<{ line: number; reason: string } | undefined> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    // Whoever writes at this moment may have written half a line.
    const hasEnd = size === 0 || (await readAt(file, size - 1, 1)).toString() === '\n'
    let line = 0
    let held: string | undefined
    const check = (text: string): { line: number; reason: string } | undefined => {
      line += 1
      const reason = findFault(chain, text, line === 1)
      return reason === undefined ? undefined : { line, reason }
    }
    for await (const text of file.readLines({ autoClose: false, start: 0 })) {
      const broken = held === undefined ? undefined : check(held)
      if (broken !== undefined) return broken
      held = text
    }
    return held === undefined || !hasEnd ? undefined : check(held)
  } finally {
    await file.close()
  }
}

function findFault(chain: Chain, text: string, isFirstOfFile: boolean): string | undefined {
  const { sequence, previous, continues } = readPlace(text)
  if (sequence === undefined) return 'It is no entry of an audit log.'
  const isAfterMovedLogs = chain.last === undefined && isFirstOfFile && typeof continues === 'string'
  if (isAfterMovedLogs) chain.first = sequence
  else {
    const { sequence: before, hash } = chain.last ?? { sequence: 0, hash: nothingBefore }
    if (sequence !== before + 1 && typeof continues === 'string')
      return `Expected entry ${before + 1}, got ${sequence}: the log ${basename(continues)} is missing.`
    if (previous !== hash) return 'It does not follow from the line before: something was changed.'
    if (sequence !== before + 1) return `Expected entry ${before + 1}, got ${sequence}.`
  }
  chain.last = { sequence, hash: hashOf(text) }
  chain.lines += 1
  return undefined
}
