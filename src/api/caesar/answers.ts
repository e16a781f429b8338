import { Problem, type ProblemCode } from '../../problem.ts'
import type { TellProblem } from '../route.ts'

/** A refusal in the words of caesar-rest: clients show its `status`. */
export class CaesarRefusal extends Problem {
  readonly httpStatus: number
  readonly body: Readonly<Record<string, unknown>>

  /** `more` are the members that stand beside `status` in the answer. */
  constructor(
    httpStatus: number,
    status: string,
    more: Readonly<Record<string, unknown>> = {},
    code: ProblemCode = codes[httpStatus] ?? 'internal',
  ) {
    super(code, status)
    this.httpStatus = httpStatus
    this.body = { ...more, status }
  }
}

/** What metrics and the log call a refusal. */
const codes: Readonly<Record<number, ProblemCode>> = {
  400: 'parameter-invalid',
  404: 'file-missing',
  413: 'body-too-large',
  415: 'parameter-invalid',
}

/**
 * How this protocol tells a problem: JSON with a `status` for people, also where caesar-rest answers with HTML. `blank`
 * are members that stand beside it.
 */
export function tellCaesarProblem(
  problem: Problem,
  requestId: string,
  blank: Readonly<Record<string, unknown>> = {},
): Response {
  if (problem instanceof CaesarRefusal) return jsonAnswer({ ...blank, ...problem.body }, problem.httpStatus)
  const { code, retryAfterSeconds } = problem
  if (code === 'token-invalid')
    return jsonAnswer(
      {
        error: 'invalid_token',
        error_description: 'Token required but invalid',
        status: 'Token required but invalid',
      },
      401,
      { 'www-authenticate': 'Bearer' },
    )
  const status =
    code === 'internal'
      ? `The server met something that it was not made for (request ${requestId}).`
      : problem.message
  return jsonAnswer({ ...blank, status }, httpStatusOf(problem), {
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
  })
}

/** Tells problems with these members beside their `status`, but for those with the token. */
export function tellBeside(blank: Readonly<Record<string, unknown>>): TellProblem {
  return (problem, requestId) =>
    tellCaesarProblem(problem, requestId, problem.code === 'token-invalid' ? {} : blank)
}

/** 417 is how OpenMOLE says that a request is bad. */
export function httpStatusOf({ telling: { status } }: Problem): number {
  return status === 417 ? 400 : status
}

/** JSON as caesar-rest writes it: keys in order, compact, a line end. */
export function jsonAnswer(
  body: unknown,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${JSON.stringify(sortKeys(body))}\n`, {
    status,
    headers: { 'content-type': 'application/json', ...headers },
  })
}

/** The same, with the keys of all objects in order. */
export function sortKeys<Data>(data: Data): Data
export function sortKeys(data: unknown): unknown {
  if (Array.isArray(data)) return data.map((each: unknown) => sortKeys(each))
  if (typeof data !== 'object' || data === null) return data
  const entries = Object.entries(data).sort(([a], [b]) => (a < b ? -1 : Number(a > b)))
  return Object.fromEntries(entries.map(([key, value]) => [key, sortKeys(value)]))
}

/** As caesar-rest writes times: ISO 8601 with six digits of a second and no zone. It is always UTC here. */
export function dateText(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.(\d{3})Z$/, '.$1000')
}
