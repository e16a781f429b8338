import { describe, expect, it } from 'vitest'
import { openSamples, SamplingError } from './expand.ts'
import type { PlanSampling } from './plan.ts'

const all = (sampling: PlanSampling, context = {}, listings: string[][] = []) => {
  const samples = openSamples(sampling, context, listings)
  return Array.from({ length: samples.size }, (_, index) => samples.at(index))
}

describe('samplings', () => {
  it('give a range with both ends and without rounding noise', () => {
    const range: PlanSampling = { kind: 'range', value: 'x', from: 0, to: 0.3, step: 0.1 }
    expect(all(range)).toEqual([{ x: 0 }, { x: 0.1 }, { x: 0.2 }, { x: 0.3 }])
    expect(all({ ...range, from: 3, to: 1, step: -1 })).toEqual([{ x: 3 }, { x: 2 }, { x: 1 }])
    expect(all({ ...range, from: 1, to: 0 })).toEqual([])
  })

  it('take the bounds of a range from the context, and refuse one that is no number', () => {
    const range: PlanSampling = { kind: 'range', value: 'x', from: { value: 'low' }, to: 2, step: 1 }
    expect(all(range, { low: 1 })).toEqual([{ x: 1 }, { x: 2 }])
    expect(() => all(range, { low: 'a' })).toThrow(SamplingError)
  })

  it('take how many samples there are from the context, and refuse what is no count', () => {
    const seeds: PlanSampling = { kind: 'replicate', value: 'seed', count: { value: 'n' }, seed: 1 }
    expect(all(seeds, { n: 3 })).toEqual(all({ ...seeds, count: 3 }))
    const factors = [{ value: 'x', integer: false, low: 0, high: 1 }]
    const design: PlanSampling = { kind: 'lhs', factors, samples: { value: 'n' }, seed: 1 }
    expect(all(design, { n: 4 })).toEqual(all({ ...design, samples: 4 }))
    for (const n of [0, 1.5, -1, 2e9, 'a', null])
      for (const sampling of [seeds, design])
        expect(() => openSamples(sampling, { n }), String(n)).toThrow(SamplingError)
  })

  it('combine all factors of a cross product, the last one fastest', () => {
    const letters: PlanSampling = { kind: 'list', value: 'letter', items: ['a', 'b'] }
    const numbers: PlanSampling = { kind: 'elements', value: 'n', of: 'numbers' }
    expect(all({ kind: 'cross', samplings: [letters, numbers] }, { numbers: [1, 2] })).toEqual([
      { letter: 'a', n: 1 },
      { letter: 'a', n: 2 },
      { letter: 'b', n: 1 },
      { letter: 'b', n: 2 },
    ])
  })

  it('join the samples of a zip one by one, and refuse unequal numbers of them', () => {
    const letters: PlanSampling = { kind: 'list', value: 'letter', items: ['a', 'b'] }
    const numbers: PlanSampling = { kind: 'elements', value: 'n', of: 'n' }
    expect(all({ kind: 'zip', samplings: [letters, numbers] }, { n: [1, 2] })).toEqual([
      { letter: 'a', n: 1 },
      { letter: 'b', n: 2 },
    ])
    expect(() => all({ kind: 'zip', samplings: [letters, numbers] }, { n: [1] })).toThrow(
      'A zip joins 2 and 1 samples; expected equally many of each.',
    )
  })

  it('hit every part of every interval once in a Latin hypercube', () => {
    const factor = (value: string) => ({ value, integer: false, low: 10, high: 20 })
    const design: PlanSampling = { kind: 'lhs', factors: [factor('x'), factor('y')], samples: 97, seed: 5 }
    const samples = all(design)
    for (const name of ['x', 'y']) {
      const parts = samples.map((sample) => Math.floor(((Number(sample[name]) - 10) / 10) * 97))
      expect(new Set(parts).size).toBe(97)
    }
    expect(all(design)).toEqual(samples)
    expect(all({ ...design, seed: 6 })).not.toEqual(samples)
  })

  it('spread uniform samples over the interval, whole numbers with both ends', () => {
    const factors = [
      { value: 'x', integer: false, low: -1, high: 1 },
      { value: 'die', integer: true, low: 1, high: 6 },
    ]
    const samples = all({ kind: 'uniform', factors, samples: 6000, seed: 1 })
    const mean = samples.reduce((sum, { x }) => sum + Number(x), 0) / samples.length
    expect(Math.abs(mean)).toBeLessThan(0.03)
    for (let face = 1; face <= 6; face += 1)
      expect(samples.filter(({ die }) => die === face).length).toBeGreaterThan(850)
  })

  it('give different seeds to replications', () => {
    const seeds = all({ kind: 'replicate', value: 'seed', count: 10_000, seed: 42 }).map(({ seed }) => seed)
    expect(new Set(seeds).size).toBe(10_000)
  })

  it('number samples and list files', () => {
    const sampling: PlanSampling = {
      kind: 'index',
      value: 'i',
      sampling: { kind: 'files', value: 'book', directory: 'books', pattern: '*' },
    }
    expect(all(sampling, {}, [['work/books/a.txt', 'work/books/b.txt']])).toEqual([
      { book: 'work/books/a.txt', i: 0 },
      { book: 'work/books/b.txt', i: 1 },
    ])
  })

  it('make the last of a billion samples at once', () => {
    const factors = [{ value: 'x', integer: false, low: 0, high: 1 }]
    const samples = openSamples({ kind: 'lhs', factors, samples: 1e9, seed: 3 }, {})
    expect(samples.at(999_999_999)['x']).toBeTypeOf('number')
  })
})
