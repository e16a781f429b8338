/** How a problem is told: HTTP status of the answer, exit code of the command, and a short title. */
interface Telling {
  readonly status: number
  readonly exitCode: number
  readonly title: string
}

/** Every problem a user can meet. Codes are never used again for something else. */
export const problems = {
  'parameter-missing': { status: 417, exitCode: 2, title: 'A parameter is missing' },
  'parameter-invalid': { status: 400, exitCode: 2, title: 'A parameter cannot be understood' },
  'password-missing': { status: 417, exitCode: 2, title: 'No password was sent' },
  'password-wrong': { status: 403, exitCode: 1, title: 'The password is wrong' },
  'password-throttled': { status: 429, exitCode: 1, title: 'Too many wrong passwords' },
  'requests-throttled': { status: 429, exitCode: 1, title: 'Too many requests' },
  'token-invalid': { status: 401, exitCode: 1, title: 'The token is not valid' },
  'not-allowed': { status: 403, exitCode: 1, title: 'This user may not do this' },
  'quota-exceeded': { status: 403, exitCode: 1, title: "The user's quota is used up" },
  'user-unknown': { status: 404, exitCode: 2, title: 'There is no such user' },
  'user-conflict': { status: 409, exitCode: 2, title: 'The user cannot be changed like this' },
  'key-unknown': { status: 404, exitCode: 2, title: 'There is no such key' },
  'archive-missing': { status: 417, exitCode: 2, title: 'The work directory is missing' },
  'archive-invalid': { status: 417, exitCode: 2, title: 'The archive cannot be read' },
  'archive-unsafe': { status: 417, exitCode: 2, title: 'The archive holds something that is refused' },
  'archive-too-large': { status: 413, exitCode: 2, title: 'The archive is too large' },
  'body-too-large': { status: 413, exitCode: 2, title: 'The request is too large' },
  'body-invalid': { status: 400, exitCode: 2, title: 'The request cannot be read' },
  'script-missing': { status: 417, exitCode: 2, title: 'The script does not exist' },
  'script-invalid': { status: 417, exitCode: 3, title: 'The script does not give a workflow' },
  'workflow-invalid': { status: 417, exitCode: 3, title: 'The workflow cannot run' },
  'inputs-invalid': { status: 417, exitCode: 2, title: 'The inputs are refused' },
  'execution-unknown': { status: 417, exitCode: 2, title: 'The execution is not known' },
  'workflow-unknown': { status: 404, exitCode: 2, title: 'There is no such workflow' },
  'workflow-conflict': { status: 409, exitCode: 2, title: 'The catalog cannot be changed like this' },
  'environment-unknown': { status: 404, exitCode: 2, title: 'There is no such environment' },
  'environment-conflict': { status: 409, exitCode: 2, title: 'The environment cannot be changed now' },
  'execution-failed': { status: 500, exitCode: 6, title: 'The execution failed' },
  'idempotency-busy': { status: 409, exitCode: 1, title: 'The first request with this key is still at work' },
  'idempotency-conflict': { status: 422, exitCode: 2, title: 'The key was used for another request' },
  'file-missing': { status: 404, exitCode: 2, title: 'The file does not exist' },
  'path-unsafe': { status: 404, exitCode: 2, title: 'The path leaves the directory' },
  'range-invalid': { status: 416, exitCode: 2, title: 'The range lies outside the file' },
  'route-unknown': { status: 404, exitCode: 2, title: 'There is no such route' },
  'method-not-allowed': { status: 405, exitCode: 2, title: 'This method is not served here' },
  'disk-full': { status: 507, exitCode: 1, title: 'There is no space left' },
  'server-busy': { status: 503, exitCode: 1, title: 'The server cannot take this now' },
  'server-unreachable': { status: 502, exitCode: 1, title: 'The server cannot be reached' },
  'configuration-invalid': { status: 500, exitCode: 2, title: 'The configuration cannot be used' },
  internal: { status: 500, exitCode: 70, title: 'Something unexpected happened' },
} as const satisfies Record<string, Telling>

export type ProblemCode = keyof typeof problems

/**
 * An error that is somebody's to mend. The message names what was expected and what came; the hint says what to do.
 * `stack` of the cause is shown only where a protocol has a field for it.
 */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  readonly hint: string | undefined
  /** Seconds after which trying again makes sense. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: ProblemCode,
    message: string,
    options: { hint?: string; cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  get telling(): Telling {
    return problems[this.code]
  }
}

/** The problem that `error` is, or an internal one that keeps it as its cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (isOutOfSpace(error))
    return new Problem('disk-full', 'The disk is full.', {
      cause: error,
      hint: 'Free space where the data directory lies, then try again.',
    })
  return new Problem('internal', messageOf(error), { cause: error })
}

/** What was thrown, in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Whether an operating system error says that the disk or the quota is used up. */
export function isOutOfSpace(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOSPC' || code === 'EDQUOT'
}
