/**
 * The contract between the engine and the places where jobs run.
 *
 * It knows attempts only: what is called a job here is one attempt, and a retry is another one with a new id.
 * Every call may be made concurrently and may be repeated. A thrown error speaks of the environment ("cannot be
 * reached", "credentials refused"), never of one job: news of a job is a value in the map that comes back.
 */

import type { ResultComparison } from './sameness.ts'

/** One attempt at a job, as an environment knows it: a letter, then letters, digits and hyphens. Never used twice. */
export type JobId = string & { readonly __brand: 'JobId' }

/** Whether `text` may name an attempt: it becomes part of file names and of names in schedulers. */
export function isJobId(text: string): text is JobId {
  return /^[A-Za-z][A-Za-z0-9-]{0,199}$/.test(text)
}

/** The text as a job id. Throws where it cannot be one. */
export function toJobId(text: string): JobId {
  if (isJobId(text)) return text
  throw new Error(
    `${JSON.stringify(text)} is no job id: a letter, then at most 199 letters, digits and hyphens.`,
  )
}

/** A place where jobs run: this computer, an SSH host, a Slurm cluster, a Kubernetes namespace. */
export interface Environment {
  /** Unique in one server; appears in logs and metrics. */
  readonly name: string
  readonly capabilities: Capabilities

  /** Proves that the environment answers and accepts our credentials. Throws EnvironmentError. */
  check(signal: AbortSignal): Promise<void>

  /**
   * Ships inputs and starts jobs. One outcome per request, so that a bad job cannot sink the batch.
   * Throws only when nothing could be asked; the caller then uses `recover` before it tries again.
   * A job that was submitted before is accepted again, and runs once.
   * An abort in the middle leaves nothing that `recover` cannot find.
   */
  submit(requests: readonly JobRequest[], signal: AbortSignal): Promise<ReadonlyMap<JobId, SubmitOutcome>>

  /**
   * Reports every job once. A job that the environment no longer knows is `lost`, never absent.
   * Throws when the environment itself cannot be asked: then no job changes state.
   */
  observe(handles: readonly JobHandle[], signal: AbortSignal): Promise<ReadonlyMap<JobId, Observation>>

  /** Asks for jobs to stop. Returns when the request is delivered; `observe` tells the end. */
  cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void>

  /**
   * Brings declared outputs and the two logs of an ended job into `directory`, which need not be there yet. Safe to repeat
   * until `release`: what an earlier call brought is replaced.
   */
  collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles>

  /**
   * The end of what a job has printed so far, while it runs: at most about `limitBytes`. The two streams come one after
   * the other, or as one where they cannot be told apart. Empty where nothing can be told (yet). Throws EnvironmentError.
   */
  readPrinted?(handle: JobHandle, limitBytes: number, signal: AbortSignal): Promise<string>

  /** Ends jobs that are not over, and deletes whatever they left behind. Safe to repeat, silent when already gone. */
  release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void>

  /**
   * Finds jobs of earlier server lives, running or ended, by the ids we gave them: for a crash between submit and
   * save. An id without a handle in the answer was not found.
   */
  recover(ids: readonly JobId[], signal: AbortSignal): Promise<readonly JobHandle[]>

  /** Calls `changed` soon after any job changes, until the signal aborts. Only when `capabilities.watch`. */
  watch?(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void

  /**
   * Deletes what was put anywhere for the execution with this work directory, jobs and their files included. Called
   * when the execution has ended and when it is removed. Safe to repeat, silent when already gone.
   */
  discard?(workDirectory: string, signal: AbortSignal): Promise<void>

  /**
   * Says who compares results of jobs with `hasComparison`, until the signal aborts. Only where several computers
   * compute the same job.
   */
  compareWith?(compare: ResultComparison, signal: AbortSignal): void

  /** Looks at everything that a job needs here, one finding each. Throws only when aborted. */
  inspect?(signal: AbortSignal): Promise<readonly CheckFinding[]>

  /** Computers that come by themselves and take jobs, those heard last first. Only where there are such. */
  hosts?(signal: AbortSignal): Promise<readonly KnownHost[]>

  /** Drops connections. Jobs go on where `capabilities.survivesRestart`, and are ended where not. */
  close(): Promise<void>
}

/** One thing that was looked at: the host, the credentials, the scheduler, the work directory, the clock, the disk. */
export interface CheckFinding {
  readonly what: string
  readonly isGood: boolean
  /** What was found, in a sentence. */
  readonly message: string
  /** What to do about it. */
  readonly fix?: string
}

/** A computer that comes by itself and takes jobs. */
export interface KnownHost {
  readonly name: string
  /** Whose it is, what it can do and what it has done, for a person to read. */
  readonly description: string
}

export type SubmitOutcome =
  | { readonly kind: 'accepted'; readonly handle: JobHandle }
  /** The same request will always be refused. */
  | { readonly kind: 'rejected'; readonly reason: string }
  /** Try again later: quota, network, busy scheduler. Nothing was started. */
  | { readonly kind: 'deferred'; readonly reason: string }

export type Observation =
  | { readonly kind: 'queued'; readonly reason?: string }
  | { readonly kind: 'running'; readonly host?: string }
  /** Ended by itself, with the exit code that the job itself wrote. */
  | { readonly kind: 'exited'; readonly exitCode: number; readonly host?: string }
  | { readonly kind: 'stopped'; readonly cause: StopCause; readonly message: string }
  | { readonly kind: 'lost'; readonly message: string }
  /** An answer came for this job but could not be read: the job stays as it was, one warning is logged. */
  | { readonly kind: 'unclear'; readonly message: string }

/** Why a job ended without an exit code of its own. */
export type StopCause =
  'cancelled' | 'timeout' | 'limit' | 'out-of-memory' | 'preempted' | 'node-failure' | 'signal' | 'unknown'

/** Enough to find the job again after a restart. The engine stores it and never reads `state`. */
export interface JobHandle {
  readonly id: JobId
  /** What the place calls it. The engine only keeps it. */
  readonly nativeId: string
  readonly state: { readonly version: number; readonly [key: string]: unknown }
}

/** What the engine must know before it schedules; plain data, so that the API can list it. */
export interface Capabilities {
  /** Jobs keep running while the server is down. */
  readonly survivesRestart: boolean
  /** The job sees the server's file system, so nothing needs to be shipped. */
  readonly sharedFileSystem: boolean
  readonly watch: boolean
  /** Resource names that this environment honours; a request for any other is rejected. */
  readonly resources: readonly (keyof Resources)[]
  readonly maxJobsPerSubmit: number
  readonly maxActiveJobs: number
  /** How many jobs run at the same time, where that is known. */
  readonly slots?: number
  /** Jobs of an environment that gave no answer for so long count as lost and run elsewhere; without it they wait. */
  readonly lostAfterOutageMs?: number
  /** Polling starts at `minMs` and slows by `stepMs` up to `maxMs` while nothing changes. */
  readonly pollInterval: { readonly minMs: number; readonly maxMs: number; readonly stepMs: number }
}

export interface JobRequest {
  readonly id: JobId
  /**
   * Program and arguments. No shell reads them unless the command names one. It runs in the job directory, has nothing to
   * read, and finds `MOLEHILL_JOB_ID` and `MOLEHILL_JOB_DIRECTORY` among its variables. A program that is not there is exit
   * code 127 and a word on standard error.
   */
  readonly command: readonly string[]
  /** Added to the environment's own variables. */
  readonly env: Readonly<Record<string, string>>
  /**
   * Absolute path of the execution's work directory. The job directory starts as a view of it: each name of it is
   * there, and what the job writes beside them stays its own. Directories on the way to an input or output are the
   * job's own too.
   */
  readonly workDirectory: string
  /**
   * Absolute path without links. Links among what is sent elsewhere are followed inside of it only, so that no job can
   * make the server send what the server alone may read. Without it they are followed anywhere.
   */
  readonly linksWithin?: string
  readonly inputs: readonly FileTransfer[]
  /**
   * Files and directories that many jobs use and none changes, such as the programs of function tasks: each travels to
   * a computer once and is found again there by its content.
   */
  readonly shared?: readonly FileTransfer[]
  readonly outputs: readonly OutputFile[]
  /** Whether what it prints on standard output is a result of it, and no mere log. */
  readonly returnsPrinted?: boolean
  /** Whether results that several computers sent are to be compared by the comparison of `compareWith`, not by their bytes. */
  readonly hasComparison?: boolean
  readonly resources: Resources
}

export interface Resources {
  readonly cpus?: number
  readonly memoryBytes?: number
  readonly gpus?: number
  readonly nodes?: number
  readonly wallTimeMs?: number
}

/** `from` is an absolute path on the server, `to` is relative to the job directory. */
export interface FileTransfer {
  readonly from: string
  readonly to: string
}

/** `path` is relative to the job directory. */
export interface OutputFile {
  readonly path: string
  readonly optional?: boolean
  /** Differs each time, such as how long something took: not compared where several computers must agree. */
  readonly varies?: boolean
}

export interface CollectedFiles {
  /** Declared outputs that were found, as given in the request; each now lies at that path below `directory`. */
  readonly files: readonly string[]
  /** Required outputs that were not there. */
  readonly missing: readonly string[]
  /** Absolute paths of the two log files, on the server. To be read, moved or copied before `release`. */
  readonly stdout: string
  readonly stderr: string
  /** What the environment knows of why the job may have gone wrong: the rest of a sentence that tells of its end. */
  readonly remark?: string
  /** Why all that the job left is gone although it had ended, as with its computer: then it may be run again. */
  readonly lost?: string
}

/** The environment itself cannot be used: unreachable, refused credentials, missing program. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError'
  /** Its message in two: what is wrong, and what to do about it. */
  readonly parts: { readonly message: string; readonly fix: string } | undefined

  constructor(message: string, options: { cause?: unknown; parts?: EnvironmentError['parts'] } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.parts = options.parts
  }
}
