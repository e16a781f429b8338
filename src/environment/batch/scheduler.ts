import type { Observation, Resources } from '../environment.ts'
import type { HostCommand, HostResult } from '../host.ts'

/**
 * What differs between batch schedulers that are driven by commands: text in, text out, no I/O. One file each.
 *
 * Jobs go in batches: one submission of `size` jobs, told apart by an index. A job's native id is what the scheduler
 * calls it: `1234_7` of an array, `1234` alone. It is kept for as long as the job, and must not come to mean another one:
 * where numbers begin again, as with a server that is started anew, the batch's name belongs to it.
 *
 * Of what commands print, what a login says around them is left out already.
 */
export interface Scheduler {
  /** For people: `Slurm`. */
  readonly name: string
  /** What a job may ask for. Wall time needs no help: the script ends its job in time. */
  readonly resources: readonly (keyof Resources)[]
  /** Most jobs in one submission; 1 where the scheduler has no arrays. */
  readonly batchSizeAtMost: number
  /** Shell text that becomes the job's index in its batch, counted from 0, when the script runs: `$SLURM_ARRAY_TASK_ID`; `0` without arrays. */
  readonly index: string
  /**
   * Names of variables that its commands take from the server where they run on the server's own computer: `SLURM_CONF`,
   * or `SGE_*` for all that begin so. Others do not reach them, but for PATH and the like.
   */
  readonly passedVariables?: readonly string[]
  /** Whether it announces to the script by SIGUSR2 that SIGKILL follows, and by SIGUSR1 that SIGSTOP does. */
  readonly announcesSignals?: boolean
  /** Whether it keeps a job that it holds until that is removed, also one that has just ended by itself. */
  readonly keepsHeldJobs?: boolean

  /** Lines at the top of the batch's script, the interpreter's line not included; none where `submit` says all. */
  directives(batch: Batch): readonly string[]
  /**
   * Submits the script at this path, which is for bash 4, cannot be executed itself and stays where it is. It runs once
   * for each index, passes SIGTERM on to its job, and ends with 0 whatever the job did.
   */
  submit(scriptPath: string, batch: Batch): HostCommand
  /** What came of it. Throws SchedulerOutputError when it cannot be told: then the batch is looked for by its name. */
  readSubmitted(result: HostResult, batch: Batch): SubmittedBatch

  /** Asks for all jobs of this user that the scheduler still lists. Those of others, and jobs that are over, do no harm. */
  list(): HostCommand
  /** Throws SchedulerOutputError when the query failed as a whole, so that silence is never read as "all are gone". */
  readList(result: HostResult): ReadonlyMap<string, Listed>

  /** Asks the accounting about jobs that are no longer listed; absent where there is none. */
  account?(nativeIds: readonly string[]): HostCommand
  /**
   * Only what the accounting knows, and of these jobs: numbers are given again after a scheduler was installed anew or
   * has run out of them. Throws SchedulerOutputError when it cannot be asked.
   */
  readAccount?(result: HostResult, isOurs?: IsOurs): ReadonlyMap<string, Listing>

  /** Ends jobs, those that wait and those that run; silent about those that are over. */
  cancel(nativeIds: readonly string[]): HostCommand
  /** Throws SchedulerOutputError when the request was not delivered. */
  readCancelled(result: HostResult): void

  /** Proves that the scheduler answers, cheaply. */
  check(): HostCommand
  /** What is wrong, in a sentence; undefined when nothing is. */
  readCheck(result: HostResult): string | undefined

  /** Asks whether a job like this would be taken, and starts nothing; absent where the scheduler cannot tell. */
  verify?(batch: Batch): HostCommand
  /** Why it never would be, in the scheduler's own words; undefined where it would, now or later. */
  readVerified?(result: HostResult): string | undefined
}

/** Jobs that are submitted together are one stream of files and few submissions: no batch has ever held more. */
export const mostPerSubmit = 1000

/** Jobs that are submitted together. */
export interface Batch {
  /** What the scheduler calls it, unique among all submissions: letters, digits and hyphens, a letter first. */
  readonly name: string
  readonly size: number
  readonly resources: Resources
  /** Absolute paths on the host. The scheduler's own log of the script goes there. */
  readonly directory: string
  readonly logPath: string
}

export type SubmittedBatch =
  /** One native id per job, in the order of the batch. */
  | { readonly kind: 'accepted'; readonly nativeIds: readonly string[] }
  /** The same batch will always be refused; in the scheduler's own words. */
  | { readonly kind: 'rejected'; readonly reason: string }
  /** Later it may be taken: a quota, a busy scheduler. Nothing was started. */
  | { readonly kind: 'deferred'; readonly reason: string }

/** Whether the job that has this native id, or had it once, is the one that is meant: one of a batch with this name. */
export type IsOurs = (nativeId: string, batchName: string) => boolean

/** A row of the scheduler's list. */
export interface Listed {
  readonly listing: Listing
  /** The name of its batch, and its index in it. */
  readonly batchName: string
  readonly index: number
}

/** What the scheduler says of one job. */
export type Listing =
  | Extract<Observation, { readonly kind: 'queued' | 'running' | 'stopped' | 'unclear' }>
  /** Over by itself: the job's own exit file tells how, and where there is none, `exitCode`. */
  | { readonly kind: 'ended'; readonly exitCode?: number }
  /** Will never move by itself: it must be cancelled, and has then ended as `stopped`. */
  | { readonly kind: 'stuck'; readonly stopped: Extract<Observation, { readonly kind: 'stopped' }> }

/** The scheduler answered with something that was not expected, or not at all. */
export class SchedulerOutputError extends Error {
  override readonly name = 'SchedulerOutputError'
}
