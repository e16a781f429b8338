import { locateCaller, type SourceLocation } from './location.ts'
import type { Json, Value } from './value.ts'

/** Which contexts an exploration fans out to. Plain data: nothing is expanded until the engine asks. */
export type Sampling = { readonly location: SourceLocation | undefined } & (
  | {
      readonly kind: 'range'
      readonly value: Value<string, number>
      readonly from: Bound
      readonly to: Bound
      readonly step: Bound
    }
  | {
      readonly kind: 'list'
      readonly value: Value
      readonly items: readonly Json[] | Value<string, unknown[]>
    }
  | { readonly kind: 'cross' | 'zip'; readonly samplings: readonly Sampling[] }
  | {
      readonly kind: 'uniform' | 'lhs'
      readonly factors: readonly Factor[]
      readonly samples: Bound
      readonly seed: number
    }
  | {
      readonly kind: 'files'
      readonly value: Value<string, string>
      readonly directory: string
      readonly pattern: string
    }
  | {
      readonly kind: 'replicate'
      readonly value: Value<string, number>
      readonly count: Bound
      readonly seed: number
    }
  | { readonly kind: 'index'; readonly value: Value<string, number>; readonly sampling: Sampling }
)

/** A number, or a value that holds it when the exploration begins. */
export type Bound = number | Value<string, number>

/** One dimension of a random or space-filling design. */
export interface Factor {
  readonly kind: 'factor'
  readonly value: Value<string, number>
  readonly low: Bound
  readonly high: Bound
}

/** The numbers from `from` to `to`, both included where the step meets them. */
export function range(
  value: Value<string, number>,
  { from, to, step = 1 }: { from: Bound; to: Bound; step?: Bound },
): Sampling {
  return { kind: 'range', value, from, to, step, location: locateCaller() }
}

/** One sample an item. The items may come from an array value that a task before has filled. */
export function list<T>(value: Value<string, T>, items: readonly T[] | Value<string, T[]>): Sampling {
  return {
    kind: 'list',
    value,
    items: items as readonly Json[] | Value<string, unknown[]>,
    location: locateCaller(),
  }
}

/** All combinations; the last sampling varies fastest. */
export function cross(...samplings: readonly Sampling[]): Sampling {
  return { kind: 'cross', samplings, location: locateCaller() }
}

/** The first samples of all together, then the second ones, and so on. All have to bring equally many. */
export function zip(...samplings: readonly Sampling[]): Sampling {
  return { kind: 'zip', samplings, location: locateCaller() }
}

/** A dimension of `uniform` or `lhs`: numbers from `low` up to `high`; whole numbers, both included, for an integer. */
export function between(value: Value<string, number>, low: Bound, high: Bound): Factor {
  return { kind: 'factor', value, low, high }
}

/** Independent, uniformly distributed samples. The same seed gives the same samples on every machine. */
export function uniform(factors: readonly Factor[], design: { samples: Bound; seed: number }): Sampling {
  return { kind: 'uniform', factors, ...design, location: locateCaller() }
}

/**
 * Latin hypercube sampling: every factor's interval is cut into as many equal parts as there are samples, and each
 * part is hit once (McKay, Beckman, Conover 1979).
 */
export function lhs(factors: readonly Factor[], design: { samples: Bound; seed: number }): Sampling {
  return { kind: 'lhs', factors, ...design, location: locateCaller() }
}

/**
 * The files of a directory of the work directory, in the order of their names, as they are when the exploration
 * begins. In `pattern`, `*` stands for any characters and `?` for one.
 */
export function files(
  value: Value<string, string>,
  { directory, pattern = '*' }: { directory: string; pattern?: string },
): Sampling {
  return { kind: 'files', value, directory, pattern, location: locateCaller() }
}

/** `count` different seeds for replications of a stochastic model. */
export function replicate(value: Value<string, number>, count: Bound, { seed }: { seed: number }): Sampling {
  return { kind: 'replicate', value, count, seed, location: locateCaller() }
}

/** The same samples, each with its position, from 0, in `value`. */
export function withIndex(value: Value<string, number>, sampling: Sampling): Sampling {
  return { kind: 'index', value, sampling, location: locateCaller() }
}
