import type { CollectedFiles, JobId, JobRequest } from '../environment/environment.ts'
import type { AttemptEnding } from '../job/attempt-source.ts'
import type { JobResult } from './function-jobs.ts'
import type { Job } from './job.ts'

/** Jobs made into one environment job. */
export interface Package {
  readonly request: JobRequest
  /**
   * What each of the jobs came to, read from what was collected into the attempt's directory.
   * @param elsewhere where one of several results of it lies, to be compared with another
   */
  open(ending: AttemptEnding, elsewhere?: ResultPlace): Promise<readonly JobEnd[]>
  /** Deletes what was made for the environment job, which is over or was never started. */
  readonly dispose?: () => Promise<void>
  /** How long a call took on average, in milliseconds, as far as `open` has found out. */
  readonly callMs?: () => number | undefined
}

/** What an attempt came to for one of its jobs. */
export interface JobEnd {
  readonly job: Job
  readonly result: JobResult
  readonly exitCode: number | null
  /** Whether the environment is to blame rather than the job, so that the same again may help. */
  readonly isEnvironmentsFault: boolean
  readonly isCancelled: boolean
  /** Logs of the job, where there are any. */
  readonly collected: CollectedFiles | undefined
  /** Whether the attempt ended before the job's turn came: it waits again, and this does not count as a try. */
  readonly isUntried?: boolean
}

export interface ResultPlace {
  /** Where the outputs were collected. */
  readonly directory: string
  /** Where files are kept, by the job's id. */
  readonly filesDirectory: string
}

/** What a package is made for. */
export interface PackageOptions {
  readonly id: JobId
  readonly attemptNumber: number
  /** Where the environment's outputs are collected. */
  readonly directory: string
}
