import {
  EnvironmentError,
  type CheckFinding,
  type CollectedFiles,
  type JobId,
  type JobRequest,
} from '../environment.ts'
import type { JobEnd } from './job-script.ts'
import type { JobPlace } from './places.ts'

/**
 * The files of jobs on a host, for environments whose jobs run there: `executions/KEY/jobs/ID` below a base directory
 * for each job, `shared/HASH` for what many jobs use. Every call takes many jobs and costs a bounded number of host
 * commands, however many. Calls throw EnvironmentError when the host cannot be asked, and may be repeated.
 */
export interface JobFiles {
  /** Absolute path of the base directory on the host. */
  base(signal: AbortSignal): Promise<string>
  /**
   * Makes the directories of jobs, and writes `files`, all or nothing with those of jobs. Answers with the reason for
   * each job whose directory cannot be made; the other jobs are ready.
   */
  prepare(
    jobs: readonly NewJob[],
    files: readonly HostFile[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, string>>
  /** What lies in the directory of each job: one mark for every place. */
  look(places: readonly JobPlace[], signal: AbortSignal): Promise<ReadonlyMap<JobId, JobMark>>
  /** Marks jobs that are not over yet as cancelled: those that did not start will not start any more. */
  markCancelled(places: readonly JobPlace[], signal: AbortSignal): Promise<void>
  /**
   * Brings declared outputs into `directory`; the logs lie on the server until `remove`. Calls at one time become one.
   * Throws JobFilesGone where there is nothing of the job.
   */
  collect(place: JobPlace, directory: string, signal: AbortSignal): Promise<CollectedFiles>
  /** The end of both logs of a job as they are now, at most so many bytes. */
  readPrinted(place: JobPlace, limitBytes: number, signal: AbortSignal): Promise<string>
  /** Deletes job directories, and each batch directory none of whose jobs is left. */
  remove(places: readonly JobPlace[], signal: AbortSignal): Promise<void>
  /** The jobs with these ids that have a directory, with their notes. */
  find(ids: readonly JobId[], signal: AbortSignal): Promise<readonly FoundJob[]>
  /** Texts of small files, by path below the base; those that are not there are left out. */
  read(paths: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, string>>
  write(files: readonly HostFile[], signal: AbortSignal): Promise<void>
  /** Deletes all that was put there for the execution with this work directory. */
  discard(workDirectory: string, signal: AbortSignal): Promise<void>
  /** Looks at the shell, the base directory, the disk and the clock. */
  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]>
}

export interface NewJob {
  readonly request: JobRequest
  /** One line of text that `find` gives back. Its first word names the job's batch. */
  readonly note: string
}

/** A small file; the path is relative to the base. */
export interface HostFile {
  readonly path: string
  readonly text: string
}

export interface FoundJob extends JobPlace {
  readonly note: string
}

export type JobMark =
  /** There is no directory of the job. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'waiting'; readonly isCancelled: boolean }
  | { readonly kind: 'started'; readonly isCancelled: boolean; readonly host: string }
  | {
      readonly kind: 'ended'
      readonly isCancelled: boolean
      readonly host: string | undefined
      readonly end: JobEnd
    }

export interface JobFilesOptions {
  /** The base directory on the host; may start with `~/`. */
  readonly base: string
  /** A directory on the server, of this environment's own, for logs that were brought. */
  readonly directory: string
  /** Bash lines that each job reads before its command, such as `module load`. */
  readonly prologue: readonly string[]
  /** Random letters: nothing that a login prints is taken for an answer. */
  readonly newMark: () => string
  readonly now: () => number
}

/** There is no directory of the job: asking again does not help. */
export class JobFilesGone extends EnvironmentError {}
