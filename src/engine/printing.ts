import type { JobId } from '../environment/environment.ts'
import type { EnvironmentTracker } from '../job/tracker.ts'
import type { Printing } from './contract.ts'
import { describeJob, type Job } from './job.ts'

/** How many attempts are asked what they print, how much of it is told, and how long that may take. */
const [mostAsked, printingBytes, printingMs] = [8, 16 * 1024, 5000]

/** An attempt that runs somewhere. */
export interface PrintingAttempt {
  readonly id: JobId
  readonly jobs: readonly Job[]
  readonly tracker: EnvironmentTracker | undefined
}

/** What attempts print that run: the first few of them, as far as their environments can tell now. */
export async function askPrinted(attempts: readonly PrintingAttempt[]): Promise<readonly Printing[]> {
  const canTell = attempts.filter(({ tracker }) => tracker?.environment.readPrinted !== undefined)
  const signal = AbortSignal.timeout(printingMs)
  const printing = canTell.slice(0, mostAsked).map(async (attempt) => {
    // What cannot be had now is left out: that an environment is away is told elsewhere.
    const text = await attempt.tracker?.readPrinted(attempt.id, printingBytes, signal).catch(() => undefined)
    const [job] = attempt.jobs
    if (job === undefined || text === undefined || text === '') return []
    return [{ job: job.id, subject: describeJob(job), text }]
  })
  return (await Promise.all(printing)).flat()
}
