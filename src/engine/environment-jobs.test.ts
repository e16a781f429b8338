import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { startTestEngine } from '../../test/helpers/engine.ts'

it('a job whose logs cannot be kept fails for that reason, and is not waited for', async () => {
  await using engine = await startTestEngine({ slots: 2 })
  const id = await engine.start({
    'gate/keep': '',
    'workflow.ts': `
      import { commandTask, shell } from 'molehill'
      export default commandTask('say', { command: shell\`until [ -e gate/go ]; do sleep 0.05; done; echo hello\` })`,
  })
  await vi.waitUntil(() => engine.executions.state(id).environments[0]?.running === 1, {
    timeout: 30_000,
    interval: 50,
  })
  const directory = join(engine.dataDirectory, 'executions', id)
  await writeFile(join(directory, 'logs'), 'in the way')
  await writeFile(join(directory, 'work', 'gate', 'go'), '')
  const state = await engine.executions.ended(id, AbortSignal.timeout(20_000))
  expect(state).toMatchObject({
    state: 'failed',
    error: { message: expect.stringMatching(/say.*cannot be kept: .*EEXIST/) },
    counts: { running: 0, failed: 1 },
    environments: [{ running: 0, submitted: 0 }],
  })
})
