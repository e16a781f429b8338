import { expect, test } from 'vitest'
import { conformanceTable } from './table.ts'

test('a table has a row for each check, and tells which environments were not there', () => {
  const table = conformanceTable([
    { environment: 'ssh', check: 'ends', outcome: 'passed' },
    { environment: 'ssh', check: 'starts', outcome: 'failed' },
    { environment: 'local', check: 'ends', outcome: 'passed' },
    { environment: 'local', check: 'watches', outcome: 'not for it' },
    { environment: 'slurm', check: 'ends', outcome: 'not there', reason: 'no munged here' },
  ])
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
