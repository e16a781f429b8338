import { z } from 'zod'
import type { Listing } from '../../src/environment/batch/scheduler.ts'
import { memorySubCode } from './description.ts'

/** What is asked of a job, in the queue and in the history. Its words are those of HTCondor's class ads. */
export const attributes = [
  'ClusterId',
  'ProcId',
  'JobBatchName',
  'JobStatus',
  'RemoteHost',
  'ExitCode',
  'ExitBySignal',
  'ExitSignal',
  'NumJobStarts',
  'HoldReason',
  'HoldReasonCode',
  'HoldReasonSubCode',
  'RemoveReason',
] as const

const jobSchema = z.object({
  ClusterId: z.int(),
  ProcId: z.int(),
  JobBatchName: z.string().optional(),
  JobStatus: z.int(),
  RemoteHost: z.string().optional(),
  ExitCode: z.int().optional(),
  ExitBySignal: z.boolean().optional(),
  ExitSignal: z.int().optional(),
  NumJobStarts: z.int().optional(),
  HoldReason: z.string().optional(),
  HoldReasonCode: z.int().optional(),
  HoldReasonSubCode: z.int().optional(),
  RemoveReason: z.string().optional(),
})
export type CondorJob = z.output<typeof jobSchema>

/** A job of condor_q -json or condor_history -json; undefined where it is none. */
export function readJob(value: unknown): CondorJob | undefined {
  return jobSchema.safeParse(value).data
}

/** What JobStatus means: HTCondor's manual, job class ad attributes. */
export function listingOf(job: CondorJob): Listing {
  switch (job.JobStatus) {
    case 1:
      return { kind: 'queued' }
    case 2:
    case 6:
    case 7:
      return { kind: 'running', ...(job.RemoteHost !== undefined && { host: nodeOf(job.RemoteHost) }) }
    case 3:
      return removed(job)
    case 4:
      return completed(job)
    case 5:
      return held(job)
    default:
      return { kind: 'unclear', message: `HTCondor's job status ${job.JobStatus} is not known.` }
  }
}

function completed({ ExitBySignal, ExitSignal, ExitCode }: CondorJob): Listing {
  if (ExitBySignal === true) return stopped('signal', `was ended by signal ${ExitSignal ?? 'unknown'}`)
  return { kind: 'ended', ...(ExitCode !== undefined && { exitCode: ExitCode }) }
}

function removed({ RemoveReason = '', NumJobStarts = 0 }: CondorJob): Listing {
  // Our own expression removes jobs that HTCondor put back into the queue.
  if (NumJobStarts > 0 && RemoveReason.includes('PeriodicRemove'))
    return stopped('preempted', 'was put back into the queue by HTCondor, and is not run twice')
  return stopped('cancelled', `was removed from HTCondor${RemoveReason === '' ? '' : ` (${RemoveReason})`}`)
}

/** Held jobs never move by themselves: those that a person holds may be let go by one. */
function held({ HoldReasonCode, HoldReasonSubCode, HoldReason = 'no reason given' }: CondorJob): Listing {
  // 1: condor_hold. 15: submitted with hold. 16: its files are still on the way.
  if (HoldReasonCode === 1 || HoldReasonCode === 15 || HoldReasonCode === 16)
    return { kind: 'queued', reason: `held: ${HoldReason}` }
  const ours = HoldReasonCode === 3 && HoldReasonSubCode === memorySubCode
  const cause =
    HoldReasonCode === 47 || HoldReasonCode === 46
      ? 'timeout'
      : ours || HoldReasonCode === 34
        ? 'out-of-memory'
        : 'unknown'
  return { kind: 'stuck', stopped: stopped(cause, `was held by HTCondor: ${HoldReason}`) }
}

function stopped(
  cause: 'signal' | 'preempted' | 'cancelled' | 'timeout' | 'out-of-memory' | 'unknown',
  text: string,
) {
  return { kind: 'stopped', cause, message: `The job ${text.replace(/\.$/, '')}.` } as const
}

/** `slot1_2@node7.example.org` without its slot. */
function nodeOf(remoteHost: string): string {
  return remoteHost.split('@').at(-1) ?? remoteHost
}
