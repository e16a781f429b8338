import type { Context } from '../workflow/context.ts'
import type { Samples } from '../workflow/expand.ts'
import type { Graph } from './graph.ts'

/**
 * Where an execution stands, as far as the workflow is concerned. Only what is under way is here: a million samples
 * are a number until their turn comes, and nothing once they are settled.
 */
export interface RunState {
  readonly graph: Graph
  readonly root: Frame
  /** Explorations whose samples are not all settled, oldest first. */
  readonly explorations: Set<Exploration>
  /** For each step, how many jobs may come at the most, as far as is known. */
  readonly due: number[]
  /** For each step, how many of its jobs failed and were tolerated. */
  readonly failures: number[]
  outcome: 'running' | 'completed' | 'failed'
}

/** One sample of an exploration under way, or the whole execution: the place where contexts meet. */
export interface Frame {
  /** Sample numbers from the outermost exploration inwards, joined by dots; empty for the whole execution. */
  readonly ticket: string
  readonly sample: number
  readonly exploration: Exploration | undefined
  /** Jobs and explorations that have not ended. */
  active: number
  /** Steps that wait for more than one transition, and what has arrived there. */
  readonly meetings: Map<number, { arrived: number; context: Context }>
  /** What has arrived at the aggregations of the exploration. */
  readonly contributions: Map<number, Context>
}

export interface Exploration {
  readonly step: number
  /** The frame in which it was opened. */
  readonly frame: Frame
  readonly context: Context
  /** Undefined until it has been opened. */
  samples: Samples | undefined
  /** Samples of an earlier life of the server, not to be run again. */
  isSettled: (sample: number) => boolean
  nextSample: number
  settled: number
  /** Samples begun and not settled. */
  begun: number
  /** Aggregations whose arrays have yet to be made. */
  gathering: number
}

/** One activation of a capsule with one context. */
export interface Activation {
  readonly step: number
  readonly frame: Frame
  readonly context: Context
}

export type RunEvent =
  | { readonly kind: 'started' }
  /** The samples of an exploration are known. `settled` of them were settled in an earlier life. */
  | {
      readonly kind: 'opened'
      readonly exploration: Exploration
      readonly samples: Samples
      readonly settled?: { readonly count: number; has(sample: number): boolean }
    }
  /** There is room for one more sample. */
  | { readonly kind: 'wanted'; readonly exploration: Exploration }
  | { readonly kind: 'completed'; readonly activation: Activation; readonly outputs: Context }
  | { readonly kind: 'failed'; readonly activation: Activation }
  | {
      readonly kind: 'gathered'
      readonly aggregation: number
      readonly exploration: Exploration
      readonly arrays: Context
    }

export type Effect =
  | { readonly kind: 'activate'; readonly activation: Activation }
  | { readonly kind: 'open'; readonly exploration: Exploration }
  /** A sample will not change any more. Without `contributions` it brings nothing to an aggregation. */
  | {
      readonly kind: 'settle'
      readonly exploration: Exploration
      readonly sample: number
      readonly contributions: ReadonlyMap<number, Context>
    }
  | { readonly kind: 'gather'; readonly aggregation: number; readonly exploration: Exploration }
  | { readonly kind: 'end'; readonly outcome: 'completed' | 'failed' }

export function initialState(graph: Graph): RunState {
  return {
    graph,
    root: makeFrame('', 0, undefined),
    explorations: new Set(),
    due: graph.steps.map((step) => (step.scope === null ? 1 : 0)),
    failures: graph.steps.map(() => 0),
    outcome: 'running',
  }
}

export function makeFrame(ticket: string, sample: number, exploration: Exploration | undefined): Frame {
  return { ticket, sample, exploration, active: 0, meetings: new Map(), contributions: new Map() }
}

/** Samples that an exploration has yet to begin. */
export function waitingSamples({ samples, nextSample, settled, begun }: Exploration): number {
  if (samples === undefined || nextSample >= samples.size) return 0
  return samples.size - settled - begun
}
