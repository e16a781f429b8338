import { mismatch } from './context.ts'
import type { PlanBound, PlanFactor, PlanSampling } from './plan.ts'
import type { Bound, Factor, Sampling } from './sampling.ts'
import { isValue, type Json, type Value } from './value.ts'

/** A sampling may have so many. */
export const mostSamples = 1e9

/** The plan's form of a sampling. What is wrong with it goes to `report`. */
export function compileSampling(
  sampling: Sampling,
  report: (message: string) => void = () => undefined,
): PlanSampling {
  switch (sampling.kind) {
    case 'range': {
      const { value, from, to, step } = sampling
      if (step === 0 || (typeof step === 'number' && !Number.isFinite(step)))
        report(`The range of ${value.name} has step ${step}; expected a number other than 0.`)
      return { kind: 'range', value: value.name, from: bound(from), to: bound(to), step: bound(step) }
    }
    case 'list':
      if (isValue(sampling.items))
        return { kind: 'elements', value: sampling.value.name, of: sampling.items.name }
      checkItems(sampling.items, sampling.value, report)
      return { kind: 'list', value: sampling.value.name, items: sampling.items }
    case 'cross':
    case 'zip': {
      const { kind } = sampling
      if (kind === 'zip' && sampling.samplings.length === 0) report('A zip of nothing; expected samplings.')
      const names = sampling.samplings.flatMap((factor) => samplingWrites(factor)).map(({ name }) => name)
      const twice = names.find((name, index) => names.indexOf(name) !== index)
      if (twice !== undefined)
        report(`${kind === 'cross' ? 'A cross product' : 'A zip'} samples ${twice} twice.`)
      return { kind, samplings: sampling.samplings.map((factor) => compileSampling(factor, report)) }
    }
    case 'uniform':
    case 'lhs': {
      const { kind, factors, samples, seed } = sampling
      checkCount(samples, `${kind} takes samples`, report)
      if (!Number.isSafeInteger(seed)) report(`${kind} has the seed ${seed}; expected a whole number.`)
      return {
        kind,
        factors: factors.map((factor) => compileFactor(factor, report)),
        samples: bound(samples),
        seed,
      }
    }
    case 'files': {
      const { directory, pattern, value } = sampling
      if (directory.startsWith('/') || directory.split('/').includes('..'))
        report(`The files of ${JSON.stringify(directory)} lie outside of the work directory.`)
      if (value.type.base !== 'file') report(`files fills ${value.name}, which is no file value.`)
      return { kind: 'files', value: value.name, directory, pattern }
    }
    case 'replicate':
      checkCount(sampling.count, 'replicate takes a count', report)
      if (!Number.isSafeInteger(sampling.seed))
        report(`replicate has the seed ${sampling.seed}; expected a whole number.`)
      return {
        kind: 'replicate',
        value: sampling.value.name,
        count: bound(sampling.count),
        seed: sampling.seed,
      }
    case 'index':
      return {
        kind: 'index',
        value: sampling.value.name,
        sampling: compileSampling(sampling.sampling, report),
      }
  }
}

/** The values that a sampling takes from the context in which the exploration begins. */
export function samplingReads(sampling: Sampling): Value[] {
  switch (sampling.kind) {
    case 'range':
      return [sampling.from, sampling.to, sampling.step].filter((each) => isValue(each))
    case 'list':
      return isValue(sampling.items) ? [sampling.items] : []
    case 'cross':
    case 'zip':
      return sampling.samplings.flatMap((factor) => samplingReads(factor))
    case 'uniform':
    case 'lhs':
      return [sampling.samples, ...sampling.factors.flatMap(({ low, high }) => [low, high])].filter((each) =>
        isValue(each),
      )
    case 'index':
      return samplingReads(sampling.sampling)
    case 'replicate':
      return [sampling.count].filter((each) => isValue(each))
    case 'files':
      return []
  }
}

/** The values that every sample brings. */
export function samplingWrites(sampling: Sampling): Value[] {
  switch (sampling.kind) {
    case 'cross':
    case 'zip':
      return sampling.samplings.flatMap((factor) => samplingWrites(factor))
    case 'uniform':
    case 'lhs':
      return sampling.factors.map(({ value }) => value)
    case 'index':
      return [...samplingWrites(sampling.sampling), sampling.value]
    case 'range':
    case 'list':
    case 'files':
    case 'replicate':
      return [sampling.value]
  }
}

function compileFactor({ value, low, high }: Factor, report: (message: string) => void): PlanFactor {
  if (typeof low === 'number' && typeof high === 'number' && !(low <= high))
    report(`${value.name} lies between ${low} and ${high}; expected the lower bound first.`)
  return { value: value.name, integer: value.type.base === 'integer', low: bound(low), high: bound(high) }
}

function checkItems(items: readonly Json[], { name, type }: Value, report: (message: string) => void): void {
  if (!Array.isArray(items)) {
    report(`The list for ${name} is ${typeof items}; expected an array, or an array value.`)
    return
  }
  const at = items.findIndex((item: Json) => mismatch(item, type) !== undefined)
  if (at >= 0) report(`Item ${at} of the list for ${name} is expected to be ${mismatch(items[at], type)}.`)
}

function checkCount(count: Bound, what: string, report: (message: string) => void): void {
  if (isValue(count)) return
  if (!Number.isSafeInteger(count) || count < 1 || count > mostSamples)
    report(`${what} of ${count}; expected a whole number from 1 to ${mostSamples}.`)
}

function bound(given: Bound): PlanBound {
  return isValue(given) ? { value: given.name } : given
}
