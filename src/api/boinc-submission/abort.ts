import { Problem } from '../../problem.ts'
import { viewJobs } from './batch-view.ts'
import { isOver } from './job-states.ts'
import type { SubmissionParts, Submitter } from './parts.ts'
import type { BatchRecord, JobRecord } from './store.ts'

type AbortParts = Pick<SubmissionParts, 'store' | 'now'>

/** Ends a batch: jobs that have not ended count as cancelled. Changes nothing where it has ended already. */
export async function abortBatch(batch: BatchRecord, submitter: Submitter, parts: AbortParts): Promise<void> {
  const { store, now } = parts
  if (batch.abortedAt > 0 || batch.retiredAt > 0) return
  const jobs = viewJobs(batch, submitter, parts)
  if (batch.phase === 'started' && jobs.every(({ standing }) => isOver(standing))) return
  // Said first: whatever ends from here on was aborted, also when the server is stopped now.
  store.changeBatch(batch.id, { abortedAt: now() })
  await withExecution(batch, () => submitter.executions.cancel(batch.execution))
}

/** Aborts a batch that is under way, deletes its outputs and hides it from lists. */
export async function retireBatch(
  batch: BatchRecord,
  submitter: Submitter,
  parts: AbortParts,
): Promise<void> {
  if (batch.retiredAt > 0) return
  await abortBatch(batch, submitter, parts)
  await withExecution(batch, () => submitter.executions.remove(batch.execution))
  parts.store.changeBatch(batch.id, { retiredAt: parts.now() })
}

/**
 * Aborts jobs one by one. The engine ends executions as a whole, so what runs of them runs to its end and counts no
 * more; where nothing else of a batch is left, all of it is ended.
 */
export async function abortJobs(
  jobs: readonly JobRecord[],
  submitter: Submitter,
  parts: AbortParts,
): Promise<void> {
  const { store, now } = parts
  for (const [id, own] of Map.groupBy(jobs, ({ batch }) => batch)) {
    const batch = store.batch(submitter.owner, { id })
    if (batch === undefined) continue
    const wanted = new Set(own.map((job) => job.id))
    const underWay = viewJobs(batch, submitter, parts).filter(({ standing }) => !isOver(standing))
    store.abortJobs(
      underWay.map(({ job }) => job.id).filter((each) => wanted.has(each)),
      now(),
    )
    if (underWay.length > 0 && underWay.every(({ job }) => wanted.has(job.id)))
      await withExecution(batch, () => submitter.executions.cancel(batch.execution))
  }
}

/** Somebody may have removed the execution meanwhile. */
async function withExecution({ execution }: BatchRecord, action: () => Promise<void>): Promise<void> {
  if (execution === '') return
  try {
    await action()
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'execution-unknown') throw error
  }
}
