import { invalidArchive } from '../files/refusal.ts'

/** How a job ended on a host, as the launcher wrote it down. */
export interface JobEnd {
  /** `disk`: it wrote more than it may. `abandoned`: what waited for it was killed. */
  readonly kind: 'exited' | 'signal' | 'timeout' | 'memory' | 'disk' | 'abandoned'
  /** Exit code or number of the signal. */
  readonly code?: number
  /** While it was not suspended. */
  readonly seconds: number
}

/** The first entry of a result. */
export interface ResultRecord {
  /** Operating system and kind of processor, as the host says. */
  readonly system: string
  /** By the job's place in the task, from 1. */
  readonly ends: ReadonlyMap<number, JobEnd>
  /** Why nothing could be run; then there are no ends. */
  readonly failure?: string
  /** Why there are no outputs, and only the beginning of the logs: the rest of a sentence. */
  readonly remark?: string
}

export const recordFirstLine = 'molehill-result 1'

/** Throws Problem `archive-invalid` where it is no record. What no version of the launcher writes is refused. */
export function parseRecord(text: string): ResultRecord {
  const [first, ...lines] = text.split('\n')
  if (first !== recordFirstLine)
    throw invalidArchive('The result was not made by the launcher of this server.')
  const ends = new Map<number, JobEnd>()
  let system = ''
  let failure: string | undefined
  let remark: string | undefined
  for (const line of lines.filter((each) => each !== '')) {
    const [, word, rest = ''] = /^(\w+) (.*)$/.exec(line) ?? []
    if (word === 'system') system = rest.slice(0, 200)
    else if (word === 'failed') failure = rest.slice(0, 500)
    else if (word === 'unpacked') remark = rest.slice(0, 500)
    else if (word === 'job') {
      const [number, end] = readEnd(rest)
      if (ends.has(number))
        throw invalidArchive(`The record of the result tells twice how job ${number} ended.`)
      ends.set(number, end)
    } else throw invalidArchive('The record of the result holds a line that cannot be read.')
  }
  if (failure === undefined && ends.size === 0)
    throw invalidArchive('The record of the result tells of no job.')
  return { system, ends, ...(failure !== undefined && { failure }), ...(remark !== undefined && { remark }) }
}

function readEnd(text: string): readonly [number, JobEnd] {
  const coded = /^(\d{1,6}) (exited|signal) (\d{1,3}) (\d{1,10})$/.exec(text)
  if (coded !== null) {
    const [, number, kind, code, seconds] = coded
    return [
      Number(number),
      { kind: kind as 'exited' | 'signal', code: Number(code), seconds: Number(seconds) },
    ]
  }
  const plain = /^(\d{1,6}) (timeout|memory|disk|abandoned) (\d{1,10})$/.exec(text)
  if (plain === null) throw invalidArchive('The record of the result holds a line that cannot be read.')
  const [, number, kind, seconds] = plain
  return [
    Number(number),
    { kind: kind as 'timeout' | 'memory' | 'disk' | 'abandoned', seconds: Number(seconds) },
  ]
}
