import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { startTestEngine } from '../../test/helpers/engine.ts'
import { shareOf } from './fair-share.ts'

const capsule = { environments: [0, 1], groupSize: 1 }
const given = (environment: number, count: number, isRunning = false) =>
  Array.from({ length: count }, () => ({ capsule, environment, jobs: ['job'], isRunning }))

it('a part of what is left may wait on one environment, and always enough for its slots', () => {
  const ask = { capsule, environment: 0, slots: 4 }
  expect(shareOf({ ...ask, waiting: 1000 }, [])).toBe(250)
  expect(shareOf({ ...ask, waiting: 900 }, given(1, 100))).toBe(250)
  expect(shareOf({ ...ask, waiting: 900 }, given(0, 100))).toBe(150)
  expect(shareOf({ ...ask, waiting: 5 }, given(0, 4, true))).toBe(4)
  expect(shareOf({ ...ask, waiting: 5 }, given(0, 4))).toBe(0)
  expect(shareOf({ ...ask, waiting: 5, capsule: { ...capsule, groupSize: 10 } }, [])).toBe(40)
  expect(shareOf({ ...ask, waiting: 9, capsule: { ...capsule, environments: [0] } }, [])).toBe(Infinity)
})

it('jobs that may run on several environments keep the slots of all of them busy', async () => {
  await using engine = await startTestEngine({ slots: 2 })
  const id = await engine.start({
    'gate/keep': '',
    'workflow.ts': `
      import { commandTask, explore, integer, local, range, shell } from 'molehill'
      const n = integer('n')
      const wait = commandTask('wait', {
        command: shell\`: \${n}; until [ -e gate/go ]; do sleep 0.05; done\`,
      }).on(local({ name: 'one', slots: 2 }), local({ name: 'other', slots: 3 }))
      export default explore(range(n, { from: 1, to: 12 }), wait)`,
  })
  const running = () => engine.executions.state(id).environments.map((each) => [each.name, each.running])
  await vi.waitFor(
    () =>
      expect(running()).toEqual(
        expect.arrayContaining([
          ['one', 2],
          ['other', 3],
        ]),
      ),
    { timeout: 30_000, interval: 50 },
  )
  await writeFile(join(engine.executions.workDirectory(id), 'gate/go'), '')
  expect(await engine.executions.ended(id, AbortSignal.timeout(30_000))).toMatchObject({
    state: 'finished',
    counts: { completed: 12, failed: 0 },
  })
})
