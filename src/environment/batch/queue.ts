import type { CheckFinding } from '../environment.ts'
import type { Batch, IsOurs, Listed, Listing, SubmittedBatch } from './scheduler.ts'

/** A job that the accounting is asked about. */
export interface AccountedJob {
  readonly nativeId: string
  /** The name of its batch. */
  readonly batch: string
}

/** What tells these jobs from others that have had their native ids before. */
export function isOneOf(jobs: readonly AccountedJob[]): IsOurs {
  const batches = new Map(jobs.map(({ nativeId, batch }) => [nativeId, batch]))
  return (nativeId, batchName) => batches.get(nativeId) === batchName
}

/**
 * A scheduler as it is talked to: by commands on a host, or over HTTP. Every call throws EnvironmentError when the
 * scheduler cannot be asked, and SchedulerOutputError when its answer cannot be read.
 */
export interface BatchQueue {
  readonly name: string
  /** Whether `account` can know anything. It may do so only seconds after a job has left the list. */
  readonly hasAccounting: boolean
  /** Puts the script at this path of the host in the queue. */
  submit(scriptPath: string, batch: Batch, signal: AbortSignal): Promise<SubmittedBatch>
  /** All jobs that are still listed, by native id: one question, however many there are. */
  list(signal: AbortSignal): Promise<ReadonlyMap<string, Listed>>
  /** What accounting says of jobs that are no longer listed; nothing where there is no accounting. */
  account(jobs: readonly AccountedJob[], signal: AbortSignal): Promise<ReadonlyMap<string, Listing>>
  cancel(nativeIds: readonly string[], signal: AbortSignal): Promise<void>
  check(signal: AbortSignal): Promise<readonly CheckFinding[]>
}
