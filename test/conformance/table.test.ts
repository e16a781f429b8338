import { expect, test } from 'vitest'
import { conformanceTable, mergeResults, readConformanceTable, type CheckResult } from './table.ts'

const results: readonly CheckResult[] = [
  { environment: 'ssh', check: 'ends', outcome: 'passed' },
  { environment: 'ssh', check: 'starts', outcome: 'failed' },
  { environment: 'local', check: 'ends', outcome: 'passed' },
  { environment: 'local', check: 'watches', outcome: 'not for it' },
  { environment: 'slurm', check: 'ends', outcome: 'not there', reason: 'no munged here' },
]

test('a table has a row for each check, and tells which environments were not there', () => {
  const table = conformanceTable(results)
  expect(table).toBe(`1. local: 1 passed, 1 not for it
2. slurm: was not there (no munged here)
3. ssh: 1 passed, 1 failed, 0 not for it

| check   | 1   | 2   | 3   |
| ------- | --- | --- | --- |
| ends    | ✓   | ·   | ✓   |
| starts  |     |     | ✗   |
| watches | –   |     |     |
`)
})

test('a table is read as it was written', () => {
  const text = `words\n\n${conformanceTable(results)}`
  expect(conformanceTable(readConformanceTable(text))).toBe(conformanceTable(results))
  expect(readConformanceTable('words')).toEqual([])
})

test('environments that were not there keep what they passed before', () => {
  const known: CheckResult[] = [
    { environment: 'slurm', check: 'ends', outcome: 'passed' },
    { environment: 'ssh', check: 'ends', outcome: 'failed' },
    { environment: 'condor', check: 'ends', outcome: 'passed' },
  ]
  expect(mergeResults(known, results)).toEqual([
    ...results.filter(({ environment }) => environment !== 'slurm'),
    known[0],
    known[2],
  ])
  expect(mergeResults([], results)).toEqual(results)
})
