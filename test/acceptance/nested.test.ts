import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startTestEngine } from '../helpers/engine.ts'

it('opens inner explorations as their turn comes, not all at once', async () => {
  await using engine = await startTestEngine({ slots: 1 })
  const { id, state, counts } = await engine.run({
    'workflow.ts': `
      import { csv, explore, functionTask, integer, range } from 'molehill'
      const a = integer('a'), b = integer('b'), c = integer('c'), sum = integer('sum')
      const multiply = functionTask('multiply', { inputs: [a, b], outputs: [c], run: ({ a, b }) => ({ c: a * b }) })
      const add = functionTask('add', {
        inputs: [a, c.array], outputs: [sum], run: ({ c }) => ({ sum: c.reduce((x, y) => x + y) }),
      }).hook(csv('sums.csv'))
      const inner = explore(range(b, { from: 1, to: 2 }), multiply).aggregate(add)
      export default explore(range(a, { from: 1, to: 1000 }), inner)
    `,
  })
  expect(state).toBe('finished')
  expect(counts.completed).toBe(3000)
  const sums = await readFile(join(engine.executions.workDirectory(id), 'sums.csv'), 'utf8')
  const outer = sums
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => Number(line.split(',')[0]))
  expect(outer.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, index) => index + 1))
  // Opened all at once, the youngest would come first or anything in between.
  for (const [index, a] of outer.entries()) expect(Math.abs(a - index)).toBeLessThan(500)
})
