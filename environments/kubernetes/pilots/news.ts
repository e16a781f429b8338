import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { readEnd, type JobEnd } from '../../../src/environment/job-files/job-script.ts'
import { isJobId, type JobId } from '../../../src/environment/environment.ts'

/** What a pilot says: of a job, of what it has, or of itself. */
export type PilotNews =
  | { readonly kind: 'waiting' | 'started' | 'refused' | 'cancelled'; readonly id: JobId }
  | { readonly kind: 'ended'; readonly id: JobId; readonly end: JobEnd }
  | { readonly kind: 'content'; readonly hash: string }
  /** All that it has follows, then `listed`. */
  | { readonly kind: 'begin' }
  | { readonly kind: 'listed' }
  /** No job begins any more. */
  | { readonly kind: 'closed' }

/** Reads a line of `followText`; undefined for any other text, such as a sign of life. */
export function readPilotNews(line: string): PilotNews | undefined {
  if (line === 'begin' || line === 'listed' || line === 'closed') return { kind: line }
  const [, kind, word = '', rest = ''] = /^([a-z]+) (\S+)(?: (.*))?$/.exec(line) ?? []
  if (kind === 'content') return /^[0-9a-f]+$/.test(word) ? { kind, hash: word } : undefined
  if (!isJobId(word)) return undefined
  if (kind === 'ended') {
    const end = readEnd(`${rest}\n`)
    return end === undefined ? undefined : { kind, id: word, end }
  }
  if (kind === 'waiting' || kind === 'started' || kind === 'refused' || kind === 'cancelled')
    return { kind, id: word }
  return undefined
}

const longestLine = 64 * 1024

/** A stream that gives the lines that are written to it, many at a time. */
export function linesInto(take: (lines: readonly string[]) => void): Writable {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  return new Writable({
    write(chunk: Buffer, _encoding, callback) {
      const lines = (rest + decoder.write(chunk)).split('\n')
      // Longer ones are none of ours.
      rest = (lines.pop() ?? '').slice(0, longestLine)
      take(lines)
      callback()
    },
  }).on('error', () => undefined)
}
