import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, vi } from 'vitest'
import { startTestEngine } from '../../test/helpers/engine.ts'

it('an execution whose journal breaks has nothing that still runs, and says why', async () => {
  await using engine = await startTestEngine({ slots: 2 })
  const id = await engine.start({
    'gate/keep': '',
    'workflow.ts': `
      import { commandTask, explore, integer, range, shell } from 'molehill'
      const n = integer('n')
      export default explore(range(n, { from: 1, to: 4, step: 1 }), commandTask('wait', {
        inputs: [n],
        command: shell\`until [ -e gate/go ]; do sleep 0.05; done; exit 1\`,
      }).tolerate({ share: 1 }))`,
  })
  const directory = join(engine.dataDirectory, 'executions', id)
  await vi.waitUntil(() => engine.executions.state(id).environments[0]?.running === 2, {
    timeout: 30_000,
    interval: 50,
  })
  // Whatever keeps SQLite from writing, other than a lack of space.
  const journal = new DatabaseSync(join(directory, 'journal.db'), { timeout: 10_000 })
  journal.exec("CREATE TRIGGER broken BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'broken'); END")
  journal.close()
  await writeFile(join(directory, 'work', 'gate', 'go'), '')
  const state = await engine.executions.ended(id, AbortSignal.timeout(60_000))
  expect(state).toMatchObject({
    state: 'failed',
    error: { message: expect.stringContaining('broken') },
    counts: { running: 0 },
    environments: [{ running: 0, submitted: 0 }],
  })
})
