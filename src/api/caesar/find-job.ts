import type { Call } from '../route.ts'
import { CaesarRefusal } from './answers.ts'
import { nameOf, short, visibleOwner, type CaesarRooms } from './parts.ts'
import type { StoredJob } from './stored-jobs.ts'

/** The job that a request is about, as it is now. `blank` are other members of the answer where there is none. */
export function findJob(
  { store, jobs }: Pick<CaesarRooms, 'store' | 'jobs'>,
  { path, principal, note }: Pick<Call, 'path' | 'principal' | 'note'>,
  blank: Readonly<Record<string, unknown>> = {},
): StoredJob {
  const id = path['id'] ?? ''
  const job = store.find(id, visibleOwner(principal))
  if (job === undefined)
    throw new CaesarRefusal(
      404,
      `Job ${short(id)} not found for user ${nameOf(principal)}!`,
      { ...blank, job_id: short(id) },
      'execution-unknown',
    )
  if (job.execution !== undefined) note({ executionId: job.execution })
  return jobs.refresh(job)
}
