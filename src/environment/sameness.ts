import type { CollectedFiles, JobId } from './environment.ts'

/** Whether two results of one job are the same. */
export type Sameness =
  | { readonly kind: 'same' | 'different' }
  /** Nobody can tell, and why: a sentence. */
  | { readonly kind: 'unclear'; readonly message: string }

/** Nobody can be asked yet, as when the server has just started: ask again in a while. */
export interface NotYet {
  readonly kind: 'not-yet'
}

/** Brings outputs and logs of one result into a directory, which need not be there. */
export type ResultBringer = (directory: string, signal: AbortSignal) => Promise<CollectedFiles>

/** Compares two results of a job that ended well, as whoever asked for the job wants it. */
export type ResultComparison = (
  id: JobId,
  results: readonly [ResultBringer, ResultBringer],
  signal: AbortSignal,
) => Promise<Sameness | NotYet>
