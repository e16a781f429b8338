import type { CollectedFiles, JobHandle, JobRequest, StopCause } from '../environment/environment.ts'
import type { ResultBringer, Sameness } from '../environment/sameness.ts'
import type { AttemptState } from './attempt.ts'

/** One attempt on its way through an environment, with the ears of whoever asked for it. */
export interface Attempt {
  readonly request: JobRequest
  /** Where outputs are collected. Does not exist before. */
  readonly directory: string
  /** Whether another environment may take the job when this one cannot take it now. */
  readonly isMovable: boolean
  /** Whether two results of the attempt are the same; absent where their bytes tell. */
  readonly compare?: (
    results: readonly [ResultBringer, ResultBringer],
    signal: AbortSignal,
  ) => Promise<Sameness>
  /** Called before the environment is asked. What must survive a crash is committed when it resolves. */
  submitting(): Promise<void>
  moved(state: AttemptState, handle: JobHandle | undefined): void
  /**
   * The last call. Files in `directory` belong to the listener when it is made. False leaves the end to the next life of
   * the server: then what the attempt has left stays where it is.
   */
  ended(ending: AttemptEnding): Promise<boolean>
}

export type AttemptEnding =
  | { readonly kind: 'exited'; readonly exitCode: number; readonly collected: CollectedFiles }
  | {
      readonly kind: 'stopped'
      readonly cause: StopCause
      readonly message: string
      readonly collected: CollectedFiles | undefined
    }
  /** Only a movable attempt is given back: nothing of it has started. */
  | { readonly kind: 'lost' | 'rejected' | 'given-back'; readonly message: string }

/** Which of several sources is asked first: in the turn of one of a group, the one with the highest priority. */
export interface Precedence {
  readonly group: string
  readonly priority: number
}

/** An execution, as seen by a tracker: it gives work when there is room. */
export interface AttemptSource {
  /** Absent where it comes in turn like any other. */
  readonly precedence?: Precedence | undefined
  take(limit: number): readonly Attempt[]
}
