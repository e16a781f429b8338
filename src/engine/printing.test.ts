import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestEngine, type TestEngine } from '../../test/helpers/engine.ts'

let engine: TestEngine
beforeAll(async () => {
  engine = await startTestEngine({ slots: 2 })
})
afterAll(() => engine[Symbol.asyncDispose]())

const wait = { timeout: 60_000, interval: 100 }

it('tells what jobs print while they run, and in the output when they have ended', async () => {
  const id = await engine.start({
    'workflow.ts': `
      import { commandTask, explore, integer, range, shell } from 'molehill'
      const x = integer('x')
      const command = shell\`echo begun \${x}; echo trouble >&2; until [ -e "$(dirname "$(readlink -f workflow.ts)")/go" ]; do sleep 0.1; done\`
      export default explore(range(x, { from: 1, to: 2 }), commandTask('model', { command }))
    `,
  })
  await expect
    .poll(
      async () =>
        (await engine.executions.printing(id)).map(({ subject, text }) => `${subject} ${text}`).sort(),
      wait,
    )
    .toEqual(['model[0] begun 1\ntrouble\n', 'model[1] begun 2\ntrouble\n'])
  expect(await engine.executions.output(id)).toBe('')
  writeFileSync(join(engine.executions.workDirectory(id), 'go'), '')
  await engine.executions.ended(id, AbortSignal.timeout(60_000))
  expect(await engine.executions.printing(id)).toEqual([])
  const lines = (await engine.executions.output(id)).trim().split('\n').toSorted()
  expect(lines).toEqual(['begun 1', 'begun 2', 'trouble', 'trouble'])
})

it('tells the end of what was printed, in whole lines', async () => {
  const id = await engine.start({
    'workflow.ts': `
      import { commandTask, shell } from 'molehill'
      export default commandTask('talker', { command: shell\`seq 1 20000; sleep 600\` })
    `,
  })
  await expect
    .poll(async () => (await engine.executions.printing(id))[0]?.text.endsWith('\n20000\n'), wait)
    .toBe(true)
  const [talker] = await engine.executions.printing(id)
  expect(talker?.text.length).toBeLessThanOrEqual(16 * 1024)
  expect(talker?.text).toMatch(/^\d+\n/)
  await engine.executions.cancel(id)
})
