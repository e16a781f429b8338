import { z } from 'zod'
import { jsonRoute, type Route } from '../route.ts'
import { visibleOwner, type CaesarRooms } from './parts.ts'
import type { JobTotals } from './stored-jobs.ts'

const totalsSchema = z.object({
  timestamp: z.string(),
  jobsize: z.number().meta({ description: 'Files of jobs that have ended, in KiB.' }),
  datasize: z.number().meta({ description: 'Uploads, in KiB.' }),
  job_runtime: z.number().meta({ description: 'Seconds.' }),
  job_completed_runtime: z.number().meta({ description: 'Seconds of jobs that ended well.' }),
  njobs: z.int(),
  njobs_completed: z.int(),
  njobs_failed: z.int(),
  njobs_aborted: z.int().meta({ description: 'Ended by a fault of their environment.' }),
  njobs_pending: z.int(),
  njobs_running: z.int(),
  njobs_canceled: z.int(),
  njobs_timedout: z.int(),
  njobs_cleared: z.int(),
  njobs_unknown: z.int(),
})

const kibibyte = 2 ** 10

/** What was used by whoever asks; by all together, where the operator does: sums would tell one user of another. */
export function accountingRoutes({ store, files, jobs, now }: CaesarRooms): readonly Route[] {
  const shared = {
    method: 'GET',
    access: 'token',
    parameters: z.object({}),
    problems: [],
  } as const
  const sum = (owner: string | undefined): z.input<typeof totalsSchema> => {
    jobs.refreshLive(owner)
    const uploads = files.storedBytes(owner)
    const running = store.listLive(owner).reduce((total, job) => total + jobs.elapsedSeconds(job), 0)
    return tellTotals(store.totals(owner), { uploads, running }, new Date(now()).toUTCString())
  }
  return [
    jsonRoute({
      ...shared,
      path: '/accounting',
      summary: 'What the files and jobs of this user have used.',
      answer: { status: 200, description: 'The sums.', schema: totalsSchema },
      handle: ({ principal }) => sum(visibleOwner(principal)),
    }),
    jsonRoute({
      ...shared,
      path: '/appstats',
      summary: 'What the files and jobs of all users have used together; those of a user where one asks.',
      answer: {
        status: 200,
        description: 'The sums.',
        schema: totalsSchema.extend({
          nusers: z.int(),
          totsize: z.number(),
          avg_completed_job_runtime: z.number(),
        }),
      },
      handle({ principal }) {
        const owner = visibleOwner(principal)
        const all = sum(owner)
        return {
          ...all,
          nusers: owner === undefined ? new Set([...files.owners(), ...store.owners()]).size : 1,
          totsize: all.jobsize + all.datasize,
          avg_completed_job_runtime:
            all.njobs_completed === 0 ? 0 : all.job_completed_runtime / all.njobs_completed,
        }
      },
    }),
  ]
}

function tellTotals(
  totals: JobTotals,
  more: { readonly uploads: number; readonly running: number },
  timestamp: string,
): z.input<typeof totalsSchema> {
  const { byState, environmentsFaults, bytes, elapsedSeconds, completedSeconds } = totals
  const count = (state: string) => byState[state] ?? 0
  return {
    timestamp,
    jobsize: bytes / kibibyte,
    datasize: more.uploads / kibibyte,
    job_runtime: elapsedSeconds + more.running,
    job_completed_runtime: completedSeconds,
    njobs: Object.values(byState).reduce((total, jobs) => total + jobs, 0),
    njobs_completed: count('SUCCESS'),
    njobs_failed: count('FAILURE') - environmentsFaults,
    njobs_aborted: environmentsFaults,
    njobs_pending: count('PENDING'),
    njobs_running: count('RUNNING'),
    njobs_canceled: count('CANCELED'),
    njobs_timedout: count('TIMED-OUT'),
    njobs_cleared: count('CLEARED'),
    njobs_unknown: 0,
  }
}
