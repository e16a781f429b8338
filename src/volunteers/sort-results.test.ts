import { expect, test } from 'vitest'
import type { Sameness } from '../environment/sameness.ts'
import { sortResults, type FreshResult } from './sort-results.ts'

/** Results that are numbers: the same when they differ by no more than one. */
function fresh(...values: readonly number[]): readonly FreshResult[] {
  return values.map((value, number) => ({
    number,
    path: String(value),
    digest: { kind: 'sound', digest: `d${value}` },
  }))
}

const near = async (left: string, right: string): Promise<Sameness> => ({
  kind: Math.abs(Number(left) - Number(right)) <= 1 ? 'same' : 'different',
})

test('results take the digest of the first that they are the same as', async () => {
  const sorted = await sortResults(fresh(10, 11, 20), [], near)
  expect(sorted.map((each) => each.kind === 'sound' && each.digest)).toEqual(['d10', 'd10', 'd20'])
})

test('small differences do not add up', async () => {
  const sorted = await sortResults(fresh(10, 11, 12), [], near)
  expect(sorted.map((each) => each.kind === 'sound' && each.digest)).toEqual(['d10', 'd10', 'd12'])
})

test('what came before is compared with, and what is equal is not', async () => {
  const asked: string[] = []
  const compare = async (left: string, right: string): Promise<Sameness> => {
    asked.push(`${left} ${right}`)
    return near(left, right)
  }
  const known = [{ digest: 'd10', path: '10' }]
  const sorted = await sortResults(fresh(11, 11, 10), known, compare)
  expect(sorted.map((each) => each.kind === 'sound' && each.digest)).toEqual(['d10', 'd10', 'd10'])
  expect(asked).toEqual(['10 11'])
})

test('what cannot be compared or read counts for nothing', async () => {
  const broken = { number: 2, path: 'x', digest: { kind: 'broken', message: 'no archive' } } as const
  const sorted = await sortResults([...fresh(10, 20), broken], [], async () => ({
    kind: 'unclear',
    message: 'too many numbers',
  }))
  expect(sorted).toEqual([
    { kind: 'sound', number: 0, digest: 'd10' },
    { kind: 'incomparable', number: 1, message: 'too many numbers' },
    { kind: 'broken', number: 2, message: 'no archive' },
  ])
})

test('what is not the same as itself is found before others are compared with it', async () => {
  const compare = async (left: string, right: string): Promise<Sameness> =>
    left === '10' ? { kind: left === right ? 'different' : 'same' } : { kind: 'same' }
  const sorted = await sortResults(fresh(10, 11, 12), [], compare, true)
  expect(sorted).toMatchObject([
    { kind: 'incomparable', message: expect.stringContaining('not the same as itself') },
    { kind: 'sound', digest: 'd11' },
    { kind: 'sound', digest: 'd11' },
  ])
})
