import type { Precedence } from '../job/attempt-source.ts'
import type { ExecutionPaths } from '../job/command.ts'
import type { EnvironmentTracker } from '../job/tracker.ts'
import type { FunctionHost } from '../script/contract.ts'
import type { Runtime } from '../script/runtime.ts'
import type { Database } from '../store/database.ts'
import type { Plan } from '../workflow/plan.ts'
import type { DisplayOutput } from './hooks/hook-writer.ts'
import type { JobAllowance } from './job-allowance.ts'

/** What a run needs of the server. Directories are absolute. */
export interface RunResources {
  readonly id: string
  readonly plan: Plan
  readonly journal: Database
  readonly paths: ExecutionPaths & {
    readonly attemptsDirectory: string
    readonly logsDirectory: string
    readonly modulesDirectory: string
  }
  /** What function tasks need on other computers. */
  readonly runtime: () => Runtime
  /** Among executions of the same owner, where it has a priority. */
  readonly precedence?: Precedence | undefined
  /** One per environment of the plan. */
  readonly trackers: readonly EnvironmentTracker[]
  readonly host: FunctionHost
  /** Adds to the execution's output. */
  readonly display: (text: string) => Promise<void>
  readonly hookOutput: DisplayOutput
  /** An exploration that would bring more jobs than this fails the execution. */
  readonly maxJobs: number
  /** How many jobs may run, where that is limited. */
  readonly allowance: JobAllowance | undefined
  readonly now: () => number
  readonly jobsEnded: (environment: string, outcome: 'done' | 'failed', count: number) => void
  readonly warn: (message: string) => void
}

/** How a run ended. A suspended one goes on in the next life of the server. */
export type RunEnding =
  | { readonly kind: 'finished' | 'cancelled' | 'suspended' }
  | { readonly kind: 'failed'; readonly message: string; readonly stack: string }
