import type { JobMark } from './job-files.ts'
import { readEnd } from './job-script.ts'

/** The mark in a line of `lookText`. */
export function readMark(line: string): JobMark {
  const [cancelled, host = '', end = ''] = line.split('\t')
  return line === 'absent' ? { kind: 'absent' } : markOf(cancelled === 'cancelled', host, `${end}\n`)
}

/** The mark that the first line of `started` and the text of `exit` make; both are '' where there is no such file. */
export function markOf(isCancelled: boolean, host: string, exit: string): JobMark {
  const end = readEnd(exit)
  if (end !== undefined) return { kind: 'ended', isCancelled, host: host === '' ? undefined : host, end }
  return host === '' ? { kind: 'waiting', isCancelled } : { kind: 'started', isCancelled, host }
}
