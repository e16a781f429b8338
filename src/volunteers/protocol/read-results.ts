import { Problem } from '../../problem.ts'
import type { ReportedResult } from '../exchange.ts'
import { elementsOf, fieldsOf, numberOf, textOf } from './scan.ts'

export interface ReadResults {
  readonly results: readonly ReportedResult[]
  /** What stands around the results, in pieces. */
  readonly rest: readonly string[]
}

const mostResults = 20_000
const longestName = 255
/** Clients send the last 63 KB. */
const longestStderr = 65_536
const mostFiles = 100

const opening = '\n<result>'
const closing = '</result>'
const stderrOpening = '<stderr_out>'
const stderrClosing = '</stderr_out>'

/**
 * The finished tasks of a request. What a program printed stands in it as it is, with whatever marks: so nothing is
 * believed behind the beginning of `stderr_out` but the files at the very end, and of a task that is named twice only
 * what came first. Throws Problem body-invalid for more tasks than any client has.
 */
export function readResults(text: string, begin: number, end: number): ReadResults {
  const results = new Map<string, ReportedResult>()
  const rest: string[] = []
  const findStderrEnd = stderrEnds(text, end)
  let at = begin
  for (;;) {
    const open = text.indexOf(opening, at)
    if (open === -1 || open >= end) break
    rest.push(text.slice(at, open))
    const read = readResult(text, open + opening.length, end, findStderrEnd)
    if (read.result.name !== '' && !results.has(read.result.name)) results.set(read.result.name, read.result)
    if (results.size > mostResults)
      throw new Problem('body-invalid', `Expected at most ${mostResults} finished tasks in one request.`)
    at = read.end
  }
  rest.push(text.slice(at, end))
  return { results: [...results.values()], rest }
}

function readResult(text: string, begin: number, limit: number, findStderrEnd: FindEnd) {
  const head = text.slice(begin, indexOr(text, closing, begin, limit))
  const stderrAt = head.indexOf(stderrOpening)
  const hasStderr = stderrAt !== -1
  const fields = fieldsOf(hasStderr ? head.slice(0, stderrAt) : head)
  const printedBegin = begin + stderrAt + stderrOpening.length
  const printedEnd = hasStderr
    ? (findStderrEnd(printedBegin) ?? indexOr(text, `\n${closing}`, printedBegin, limit))
    : begin
  const resultEnd = indexOr(text, closing, printedEnd, limit)
  const printed = hasStderr ? text.slice(printedBegin, printedEnd) : ''
  const behind = text.slice(printedEnd, resultEnd)
  const number = (name: string, least = 0) => numberOf(fields.get(name), 0, least)
  const result: ReportedResult = {
    name: textOf(fields.get('name'), longestName),
    state: Math.trunc(number('state') || number('client_state')),
    exitStatus: readExitStatus(fields, printed),
    cpuSeconds: number('final_cpu_time'),
    elapsedSeconds: number('final_elapsed_time'),
    stderr: readStderr(printed),
    files: readFiles(behind),
  }
  return { result, end: Math.min(limit, resultEnd + closing.length) }
}

/** In the protocol's first text it stood among what was printed. */
function readExitStatus(fields: ReadonlyMap<string, string>, printed: string): number {
  const isOld = fields.has('client_state') && !fields.has('exit_status')
  const content = isOld ? fieldsOf(printed).get('exit_status') : fields.get('exit_status')
  return Math.trunc(numberOf(content, 0, -(2 ** 31), 2 ** 31))
}

type FindEnd = (begin: number) => number | undefined

/**
 * Where what was printed ends: at the mark that is followed by what follows it in a request; the same mark within it
 * is not. Remembers what it found, so that no text is gone through twice.
 */
function stderrEnds(text: string, limit: number): FindEnd {
  let known: { readonly from: number; readonly end: number | undefined } | undefined
  return (begin) => {
    if (known !== undefined && begin >= known.from && (known.end === undefined || begin <= known.end))
      return known.end
    let end: number | undefined
    for (let at = begin; end === undefined; at += stderrClosing.length) {
      at = text.indexOf(stderrClosing, at)
      if (at === -1 || at >= limit) break
      const behind = text.slice(at + stderrClosing.length, at + stderrClosing.length + 40)
      if (/^\s*<(?:file_info>|\/result>)/.test(behind)) end = at
    }
    known = { from: begin, end }
    return end
  }
}

function readStderr(printed: string): string {
  const last = printed.length > longestStderr ? printed.slice(-longestStderr) : printed
  return textOf(last, longestStderr)
}

function readFiles(text: string): ReportedResult['files'] {
  const files: ReportedResult['files'][number][] = []
  for (const { name, content } of elementsOf(text)) {
    if (name !== 'file_info' || files.length === mostFiles) continue
    const fields = fieldsOf(content)
    files.push({
      name: textOf(fields.get('name') ?? fields.get('file_name'), longestName),
      bytes: numberOf(fields.get('nbytes'), 0),
      md5: textOf(fields.get('md5_cksum'), 32).toLowerCase(),
    })
  }
  return files
}

function indexOr(text: string, wanted: string, begin: number, limit: number): number {
  const found = text.indexOf(wanted, begin)
  return found === -1 || found > limit ? limit : found
}
