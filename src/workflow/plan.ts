import type { Context } from './context.ts'
import type { SourceLocation } from './location.ts'
import type { Json, ValueType } from './value.ts'

/**
 * A workflow as plain data: what the engine runs and the store keeps. Functions are named by where they stand;
 * steps are in an order in which each comes after all that lead to it. Indices point into `steps` and `environments`.
 */
export interface Plan {
  readonly version: 1
  readonly name: string
  /** Path of the script in the work directory. */
  readonly script: string
  readonly steps: readonly PlanStep[]
  readonly transitions: readonly PlanTransition[]
  /** The last one is the default, `local`. */
  readonly environments: readonly PlanEnvironment[]
  /** What it says of itself to those who start it by its name. */
  readonly description?: PlanDescription
  /** The inputs that it was started with. */
  readonly given?: Context
}

export interface PlanDescription {
  readonly title: string
  readonly description: string
  readonly category: string
  readonly inputs: readonly PlanInput[]
  readonly outputs: readonly PlanDescribedOutput[]
}

export interface PlanInput extends PlanValue {
  readonly title: string
  readonly description: string
  readonly category: string
  readonly isMandatory: boolean
  readonly isAdvanced: boolean
  /** Of a file, endings that are taken; any where there are none. */
  readonly formats: readonly string[]
  readonly values?: readonly Json[]
  readonly minimum?: number
  readonly maximum?: number
}

export interface PlanDescribedOutput {
  readonly path: string
  readonly title: string
  readonly description: string
  readonly role: string
}

export interface PlanEnvironment {
  readonly name: string
  readonly kind: string
  readonly options: Readonly<Record<string, unknown>>
}

export interface PlanTransition {
  readonly from: number
  readonly to: number
  /** The values that go this way: those that something further on needs. */
  readonly carries: readonly string[]
}

export type PlanStep = PlanCapsule | PlanExploration | PlanAggregation

interface Placed {
  /** The exploration inside of which the step lies, or null. */
  readonly scope: number | null
  readonly location: SourceLocation | null
}

export interface PlanCapsule extends Placed {
  readonly kind: 'capsule'
  readonly name: string
  readonly task: PlanTask
  /** Where its jobs may run; whichever has room takes the next one. */
  readonly environments: readonly number[]
  readonly groupSize: number
  readonly retry: { readonly limit: number; readonly delayMs: number; readonly factor: number }
  readonly timeoutMs: number | null
  readonly tolerance: number
  /** The function that says whether two results of a job are the same; bytes do without it. */
  readonly agree?: string
  readonly hooks: readonly PlanHook[]
}

export interface PlanExploration extends Placed {
  readonly kind: 'explore'
  readonly sampling: PlanSampling
}

export interface PlanAggregation extends Placed {
  readonly kind: 'aggregate'
  readonly exploration: number
  /** Values made inside the exploration, to become arrays. */
  readonly gathers: readonly string[]
  /** Values from before the exploration. */
  readonly keeps: readonly string[]
}

export interface PlanValue {
  readonly name: string
  readonly type: ValueType
  readonly default?: Json
}

export interface PlanTemplate {
  readonly texts: readonly string[]
  readonly values: readonly string[]
}

export type PlanTask = PlanFunctionTask | PlanCommandTask

export interface PlanFunctionTask {
  readonly kind: 'function'
  readonly function: string
  readonly inputs: readonly PlanValue[]
  readonly outputs: readonly PlanValue[]
}

export interface PlanCommandTask {
  readonly kind: 'command'
  readonly command:
    | { readonly kind: 'shell'; readonly template: PlanTemplate }
    | { readonly kind: 'argv'; readonly words: readonly PlanTemplate[] }
  readonly env: Readonly<Record<string, PlanTemplate>>
  /** `path` is where a file is put in the job directory; its own name where it is null. */
  readonly inputs: readonly (PlanValue & { readonly path: string | null })[]
  readonly outputs: readonly PlanOutput[]
}

export type PlanOutput = PlanValue & {
  readonly reader:
    | { readonly kind: 'read-stdout' }
    | { readonly kind: 'read-text'; readonly path: string }
    | { readonly kind: 'read-json'; readonly path: string | null; readonly key: string | null }
    | { readonly kind: 'keep-file'; readonly path: string }
}

export type PlanHook =
  | { readonly kind: 'display-values'; readonly values: readonly string[] }
  | { readonly kind: 'display-text'; readonly template: PlanTemplate }
  | { readonly kind: 'display-function'; readonly function: string; readonly values: readonly string[] }
  | {
      readonly kind: 'csv'
      readonly path: string
      readonly values: readonly string[]
      readonly header: boolean
      readonly arrays: 'cell' | 'rows'
      readonly append: boolean
    }
  | {
      readonly kind: 'json-lines'
      readonly path: string
      readonly values: readonly string[]
      readonly append: boolean
    }
  | { readonly kind: 'copy-file'; readonly value: string; readonly to: PlanTemplate }

/** A number, or the name of the value that holds it. */
export type PlanBound = number | { readonly value: string }

export interface PlanFactor {
  readonly value: string
  readonly integer: boolean
  readonly low: PlanBound
  readonly high: PlanBound
}

export type PlanSampling =
  | {
      readonly kind: 'range'
      readonly value: string
      readonly from: PlanBound
      readonly to: PlanBound
      readonly step: PlanBound
    }
  | { readonly kind: 'list'; readonly value: string; readonly items: readonly Json[] }
  | { readonly kind: 'elements'; readonly value: string; readonly of: string }
  | { readonly kind: 'cross' | 'zip'; readonly samplings: readonly PlanSampling[] }
  | {
      readonly kind: 'uniform' | 'lhs'
      readonly factors: readonly PlanFactor[]
      readonly samples: PlanBound
      readonly seed: number
    }
  | { readonly kind: 'files'; readonly value: string; readonly directory: string; readonly pattern: string }
  | { readonly kind: 'replicate'; readonly value: string; readonly count: PlanBound; readonly seed: number }
  | { readonly kind: 'index'; readonly value: string; readonly sampling: PlanSampling }
