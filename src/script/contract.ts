import type { Context } from '../workflow/context.ts'
import type { Plan } from '../workflow/plan.ts'

/** What evaluating a script gave: the plan, and the modules it was made of. */
export interface Evaluation {
  readonly plan: Plan
  /** Paths of the script and of all it imported from the work directory, relative to it. */
  readonly modules: readonly string[]
}

/** Where an execution's function host finds the script as it was at the start. */
export interface ScriptSource {
  readonly workDirectory: string
  readonly script: string
  /** Copies of the script's modules, under the paths they have in the work directory. */
  readonly modulesDirectory: string
}

/** One call of a function of the script. */
export interface FunctionCall {
  /** Inputs by name; files as absolute paths. */
  readonly inputs: Context
  /** Where the call's own directory is made if it asks for one. */
  readonly directory: string
}

export type FunctionOutcome =
  /** `result` is what the function returned: an object of outputs, or a display text. Not yet checked for types. */
  | { readonly kind: 'returned'; readonly result: unknown }
  | { readonly kind: 'threw'; readonly message: string; readonly stack: string }
  | { readonly kind: 'timeout'; readonly message: string }
  /** The call ended its process or used up its memory. */
  | { readonly kind: 'crashed'; readonly message: string }

/** An execution's functions, in a process of their own. */
export interface FunctionHost {
  /** How many batches run at the same time. */
  readonly parallelism: number
  /**
   * Calls one function once per element of `calls`, in order, in one worker. Every call gets its outcome: one that
   * hangs, crashes or throws does not hurt the others. Rejects only when the host cannot be had at all, or with the
   * signal's reason when aborted; then the batch is ended.
   * @param timeoutMs limit for each single call
   */
  call(
    functionName: string,
    calls: readonly FunctionCall[],
    options: { readonly timeoutMs: number | null; readonly signal: AbortSignal },
  ): Promise<readonly FunctionOutcome[]>
  /** Ends the process and everything in it. */
  close(): Promise<void>
}
