/** Operations a second that a machine is taken to do where nothing better is known. */
export const operationsPerSecond = 1e9

/** What is known when the run time of a batch is estimated. */
export interface EstimateFacts {
  readonly jobs: number
  /** Floating point operations of all jobs together. */
  readonly operations: number
  /** Mean run time of jobs of this app that have ended, or undefined where none has. */
  readonly meanSeconds: number | undefined
  /** Jobs of the user that wait or run before this batch. */
  readonly jobsBefore: number
  /** Jobs that may run at the same time. */
  readonly slots: number
}

/** Seconds until a batch that is submitted now has ended. */
export function estimateSeconds({ jobs, operations, meanSeconds, jobsBefore, slots }: EstimateFacts): number {
  if (jobs === 0) return 0
  const together = meanSeconds === undefined ? operations / operationsPerSecond : jobs * meanSeconds
  const before = jobsBefore * (together / jobs)
  const longest = together / jobs
  return Math.max(longest, (together + before) / Math.max(1, slots))
}

export interface Progress {
  readonly jobs: number
  readonly ended: number
  /** What was estimated when the batch was submitted. */
  readonly estimatedSeconds: number
  readonly secondsSinceSubmit: number
  /** Since its first job began to run; undefined where none has. */
  readonly secondsSinceBegun: number | undefined
}

/** Seconds until a batch under way has ended: by the jobs that have, else what is left of the estimate. */
export function remainingSeconds(progress: Progress): number {
  const { jobs, ended, estimatedSeconds, secondsSinceSubmit, secondsSinceBegun } = progress
  if (ended >= jobs) return 0
  if (ended === 0 || secondsSinceBegun === undefined)
    return Math.max(0, estimatedSeconds - secondsSinceSubmit)
  return (secondsSinceBegun / ended) * (jobs - ended)
}
