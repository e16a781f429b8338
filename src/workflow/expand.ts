import { mostSamples } from './compile-sampling.ts'
import type { Context } from './context.ts'
import type { PlanBound, PlanFactor, PlanSampling } from './plan.ts'
import { permuteAt, uniformAt } from './random.ts'
import type { Json } from './value.ts'

/** An exploration's samples: how many, and each by its position. Nothing is kept but what was asked for. */
export interface Samples {
  readonly size: number
  at(index: number): Context
}

/** A sampling that cannot be expanded with the values at hand. */
export class SamplingError extends Error {
  override readonly name = 'SamplingError'
}

/** The listings that a sampling needs, in the order in which `openSamples` takes them. */
export function listingsOf(sampling: PlanSampling): readonly { directory: string; pattern: string }[] {
  switch (sampling.kind) {
    case 'files':
      return [{ directory: sampling.directory, pattern: sampling.pattern }]
    case 'cross':
    case 'zip':
      return sampling.samplings.flatMap((factor) => listingsOf(factor))
    case 'index':
      return listingsOf(sampling.sampling)
    case 'range':
    case 'list':
    case 'elements':
    case 'uniform':
    case 'lhs':
    case 'replicate':
      return []
  }
}

/**
 * Makes a sampling ready to be asked.
 * @param context the values with which the exploration begins
 * @param listings the files found for each of `listingsOf`, as file values
 * Throws SamplingError when a bound is no number, a range never ends, or a count is out of range.
 */
export function openSamples(
  sampling: PlanSampling,
  context: Context,
  listings: readonly (readonly string[])[] = [],
): Samples {
  const left = [...listings]
  return open(sampling, context, () => left.shift() ?? [])
}

function open(sampling: PlanSampling, context: Context, nextListing: () => readonly string[]): Samples {
  switch (sampling.kind) {
    case 'range':
      return openRange(sampling, context)
    case 'list':
      return fromArray(sampling.value, sampling.items)
    case 'elements': {
      const items = context[sampling.of]
      if (!Array.isArray(items))
        throw new SamplingError(`${sampling.of} holds no array to take samples from.`)
      return fromArray(sampling.value, items as readonly Json[])
    }
    case 'cross':
      return openCross(sampling.samplings.map((factor) => open(factor, context, nextListing)))
    case 'zip':
      return openZip(sampling.samplings.map((each) => open(each, context, nextListing)))
    case 'uniform':
    case 'lhs':
      return openDesign(sampling, context)
    case 'files':
      return fromArray(sampling.value, nextListing())
    case 'replicate': {
      const { value, seed } = sampling
      const size = resolveCount(sampling.count, context)
      return { size, at: (index) => ({ [value]: permuteAt(seed, 0, index, 2 ** 31) }) }
    }
    case 'index': {
      const inner = open(sampling.sampling, context, nextListing)
      return { size: inner.size, at: (index) => ({ ...inner.at(index), [sampling.value]: index }) }
    }
  }
}

function fromArray(value: string, items: readonly Json[]): Samples {
  return { size: items.length, at: (index) => ({ [value]: items[index] ?? null }) }
}

function openRange(sampling: PlanSampling & { kind: 'range' }, context: Context): Samples {
  const from = resolve(sampling.from, context)
  const to = resolve(sampling.to, context)
  const step = resolve(sampling.step, context)
  if (step === 0) throw new SamplingError(`The range of ${sampling.value} has step 0 and never ends.`)
  // A little more than the quotient: 0.3 / 0.1 is below 3, and the end belongs to the range.
  const size = Math.max(0, Math.floor((to - from) / step + 1e-9) + 1)
  // 15 digits keep every number a person writes and drop the noise of adding steps, 0.30000000000000004.
  return { size, at: (index) => ({ [sampling.value]: Number((from + index * step).toPrecision(15)) }) }
}

function openCross(factors: readonly Samples[]): Samples {
  const size = factors.reduce((product, factor) => product * factor.size, 1)
  if (!Number.isSafeInteger(size))
    throw new SamplingError('A cross product has more samples than can be counted.')
  return {
    size,
    at(index) {
      let rest = index
      const sample: Record<string, Json> = {}
      for (let position = factors.length - 1; position >= 0; position -= 1) {
        const factor = factors[position]
        if (factor === undefined) continue
        Object.assign(sample, factor.at(rest % factor.size))
        rest = Math.floor(rest / factor.size)
      }
      return sample
    },
  }
}

function openZip(all: readonly Samples[]): Samples {
  const sizes = all.map((each) => each.size)
  const [size = 0] = sizes
  if (sizes.some((each) => each !== size))
    throw new SamplingError(`A zip joins ${sizes.join(' and ')} samples; expected equally many of each.`)
  return { size, at: (index) => Object.assign({}, ...all.map((each) => each.at(index))) as Context }
}

function openDesign(sampling: PlanSampling & { kind: 'uniform' | 'lhs' }, context: Context): Samples {
  const { kind, seed } = sampling
  const size = resolveCount(sampling.samples, context)
  const factors = sampling.factors.map((factor) => ({
    ...factor,
    low: resolve(factor.low, context),
    high: resolve(factor.high, context),
  }))
  for (const { value, low, high } of factors)
    if (!(low <= high))
      throw new SamplingError(`${value} lies between ${low} and ${high}; the lower bound comes first.`)
  return {
    size,
    at(index) {
      const sample: Record<string, Json> = {}
      for (const [stream, factor] of factors.entries()) {
        const jitter = uniformAt(seed, 2 * stream, index)
        const unit = kind === 'lhs' ? (permuteAt(seed, 2 * stream + 1, index, size) + jitter) / size : jitter
        sample[factor.value] = scale(unit, factor)
      }
      return sample
    },
  }
}

function scale(unit: number, { integer, low, high }: PlanFactor & { low: number; high: number }): number {
  if (!integer) return low + unit * (high - low)
  const [lowest, highest] = [Math.ceil(low), Math.floor(high)]
  return Math.min(highest, lowest + Math.floor(unit * (highest - lowest + 1)))
}

function resolveCount(count: PlanBound, context: Context): number {
  const resolved = resolve(count, context)
  if (Number.isSafeInteger(resolved) && resolved >= 1 && resolved <= mostSamples) return resolved
  throw new SamplingError(
    `A sampling of ${resolved} samples; expected a whole number from 1 to ${mostSamples}.`,
  )
}

function resolve(bound: PlanBound, context: Context): number {
  if (typeof bound === 'number') return bound
  const value = context[bound.value]
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new SamplingError(
    `${bound.value} is a bound of a sampling and holds ${JSON.stringify(value)}; expected a number.`,
  )
}
