/** A failed attempt of a job, in the words its errors will show. */
export interface Failure {
  readonly message: string
  readonly stack: string
  readonly exitCode: number | null
  /** The job itself did no wrong, so the same again may well succeed. */
  readonly isEnvironmentsFault: boolean
  /** The same request would always be refused. */
  readonly isFinal: boolean
}

/** A lost job is tried again this often even where the script asks for no retries. */
const triesAfterLoss = 3
const longestDelayMs = 3_600_000

/** How long to wait before a job is tried again, or undefined when it has failed. `attempts` counts those made. */
export function retryDelayMs(
  retry: { readonly limit: number; readonly delayMs: number; readonly factor: number },
  attempts: number,
  failure: Failure,
): number | undefined {
  if (failure.isFinal) return undefined
  const limit = failure.isEnvironmentsFault ? Math.max(retry.limit, triesAfterLoss) : retry.limit
  if (attempts > limit) return undefined
  return Math.min(longestDelayMs, retry.delayMs * retry.factor ** (attempts - 1))
}
