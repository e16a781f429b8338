import type { BatchPosition, FollowedJob } from './handle.ts'
import type { BatchQueue } from './queue.ts'
import { SchedulerOutputError, type Listed, type Listing } from './scheduler.ts'
import { EnvironmentError } from '../environment.ts'

type Position = Pick<BatchPosition, 'batch' | 'index'>

/** The scheduler's list, by the place of jobs in their batches. */
export interface ListedJobs {
  listingOf(job: Position): Listing | undefined
  /** In these states, or in any. More than one where a submission whose answer was lost was made again. */
  nativeIdsOf(job: Position, kinds?: readonly Listing['kind'][]): readonly string[]
  hasBatch(name: string): boolean
  /** Whether the scheduler has given this native id to another job. */
  isOfAnother(nativeId: string, job: Position): boolean
}

/** Which word counts where a job is listed more than once: the one that says that it is alive. */
const order: readonly Listing['kind'][] = ['running', 'queued', 'unclear', 'stuck', 'ended', 'stopped']

/** States of jobs that the scheduler still has to do with. */
export const openKinds: readonly Listing['kind'][] = ['running', 'queued', 'unclear', 'stuck']

export async function listedJobs(queue: BatchQueue, signal: AbortSignal): Promise<ListedJobs> {
  const batches = new Map<string, Map<number, (readonly [string, Listed])[]>>()
  const list = await asked(queue.list(signal))
  for (const [nativeId, row] of list) {
    let batch = batches.get(row.batchName)
    if (batch === undefined) batches.set(row.batchName, (batch = new Map()))
    const rows = batch.get(row.index)
    if (rows === undefined) batch.set(row.index, [[nativeId, row]])
    else rows.push([nativeId, row])
  }
  const rowsOf = ({ batch, index }: Position) => batches.get(batch)?.get(index) ?? []
  return {
    listingOf: (job) => {
      const listings = rowsOf(job).map(([, { listing }]) => listing)
      listings.sort((one, other) => order.indexOf(one.kind) - order.indexOf(other.kind))
      return listings[0]
    },
    nativeIdsOf: (job, kinds = order) =>
      rowsOf(job).flatMap(([nativeId, { listing }]) => (kinds.includes(listing.kind) ? [nativeId] : [])),
    hasBatch: (name) => batches.has(name),
    isOfAnother: (nativeId, { batch, index }) => {
      const row = list.get(nativeId)
      return row !== undefined && (row.batchName !== batch || row.index !== index)
    },
  }
}

/** A scheduler whose answer cannot be read gave none: an error of the environment. */
export async function asked<Answer>(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof SchedulerOutputError) throw new EnvironmentError(error.message, { cause: error })
    throw error
  }
}

/** What the scheduler calls these jobs: also where one was submitted twice because the first answer was lost. */
export function nativeIdsOf(jobs: readonly FollowedJob[], listed: ListedJobs): readonly string[] {
  const ids = jobs.flatMap((job) => [
    // After a scheduler was installed anew, its numbers mean other jobs.
    ...(listed.isOfAnother(job.nativeId, job) ? [] : [job.nativeId]),
    ...listed.nativeIdsOf(job),
  ])
  return [...new Set(ids)].filter((id) => id !== '')
}
