import { EnvironmentError, type CheckFinding, type JobId, type Resources } from '../environment.ts'
import type { HostFile } from '../job-files/job-files.ts'
import type { JobEnd } from '../job-files/job-script.ts'
import type { JobPlace } from '../job-files/places.ts'

/**
 * Who runs the jobs of a queue that lies on a host: one runner on it, or pilots that a scheduler starts on others. Calls
 * throw EnvironmentError when the host or the scheduler cannot be asked, and may be repeated.
 */
export interface Workers {
  /** Letters and digits: part of paths. Stays the same from one life of the server to the next. */
  readonly name: string
  /** How many jobs run at the same time. */
  readonly slots: number
  /** While jobs are under way, how long it takes until somebody looks after the workers again. */
  readonly ensureMs: number
  /** What a job with such wishes takes; a sentence where it can never run. */
  plan(resources: Resources): JobNeeds | string
  /** The list that puts jobs in the queue when it is written to the host. */
  list(jobs: readonly QueuedJob[], now: number): HostFile
  /** Sees to it that jobs are run. Throws WorkersRefused where that will always be refused. */
  ensure(signal: AbortSignal, demand: Demand): Promise<void>
  /** Says that there is something new in the directories of jobs. */
  wake(signal: AbortSignal): Promise<void>
  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]>
  /** Looks which workers there are. Whoever looks at the files of jobs afterwards can tell which jobs are abandoned. */
  survey?(signal: AbortSignal): Promise<void>
  /** Those of the jobs, begun and without an end, whose worker is gone: with a sentence about it. */
  abandoned?(places: readonly JobPlace[], signal: AbortSignal): Promise<ReadonlyMap<JobId, string>>
  /** There is nothing to do for now. */
  rest?(signal: AbortSignal): Promise<void>
  /** Tells of jobs from now on. Resolves with the reason when nothing can be heard any more. */
  follow?(
    begun: () => void,
    told: (news: readonly RunnerNews[]) => void,
    signal: AbortSignal,
  ): Promise<string>
}

export interface JobNeeds {
  readonly slots: number
  readonly wallTimeMs?: number
  /** Of each of its processes. */
  readonly memoryBytes?: number
}

/** A job for the queue; its directory is there already, or comes with the list. */
export interface QueuedJob extends JobNeeds {
  readonly place: JobPlace
}

/** What there is to do, in slots. */
export interface Demand {
  readonly waiting: number
  readonly running: number
  /** How many jobs have begun so far in this life of the server: it grows while there is progress. */
  readonly begun: number
}

/** What a runner says of a job, by its id, as it happens. */
export type RunnerNews =
  | { readonly id: string; readonly kind: 'started' }
  | { readonly id: string; readonly kind: 'ended'; readonly end: JobEnd }

/** Nobody will ever run these jobs, in the words of whoever refuses. */
export class WorkersRefused extends EnvironmentError {}
