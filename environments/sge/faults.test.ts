import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import { EnvironmentError } from '../../src/environment/environment.ts'
import { prefixedHost } from '../../test/conformance/prefixed-host.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { startSge, type Sge } from '../../test/daemons/sge.ts'
import { plugin } from './index.ts'
import { sgeScheduler } from './scheduler.ts'

describeWith('sge', 'when SGE fails', () => {
  let sge: Sge
  let trial: Trial
  beforeAll(async () => {
    sge = await startSge()
  }, 60_000)
  afterEach(() => trial.close())
  afterAll(() => sge.stop())

  function use(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
    trial = new Trial(async (directory) => {
      const parsed = plugin.options.parse({ submissionsPerMinute: 60_000, stopGraceMs: 1000, ...options })
      const context = { directory, variables: {}, now: Date.now, warn: () => undefined }
      return openBatchEnvironment('sge', sgeScheduler(parsed), parsed, context, {
        host: prefixedHost(sge.prefix),
      })
    })
    return trial.open()
  }

  test('a job in an error state is deleted and has ended, with the reason that SGE gives', async () => {
    // It waits for a moment, so that its directory can be taken away before it begins.
    const soon = await runCommand(['date', '-d', '+4 seconds', '+%Y%m%d%H%M.%S'])
    await use({ extraDirectives: [`-a ${soon.trim()}`] })
    const { state, nativeId, id } = await trial.submit(trial.shell('exit 0'))
    const batch = `host/executions/${String(state['key'])}/batches/${String(state['batch'])}`
    rmSync(join(trial.ownDirectory, batch), { recursive: true })
    expect(await trial.waitForEnd({ state, nativeId, id })).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringMatching(/Eqw.*No such file or directory/),
    })
    const list = await runCommand([...sge.prefix, 'qstat', '-u', 'root'])
    expect(list).not.toContain(nativeId.split('.')[0]!.padStart(7))
  }, 90_000)

  test.each([
    [{ queue: 'nowhere.q' }, /unknown queue|no queue nowhere/],
    [{ project: 'nobodys' }, /project/],
    [{ cpus: 2, parallelEnvironment: 'nosuch' }, /parallel environment/],
    [{ cpus: 9999 }, /no suitable queues/],
  ])(
    '%j is refused at once, in the words of SGE, and found by a check that submits nothing',
    async (options, words) => {
      await use(options)
      const request = trial.shell('exit 0')
      const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
      expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringMatching(words) })
      expect(await trial.environment.inspect?.(noSignal)).toContainEqual({
        what: 'scheduler',
        isGood: false,
        message: expect.stringMatching(words),
        fix: expect.stringContaining('options'),
      })
      expect(await runCommand([...sge.prefix, 'qstat', '-u', '*'])).not.toContain('molehill-c')
    },
    60_000,
  )

  test('a master that is away is an error of the environment, and jobs are told after', async () => {
    await use()
    const handle = await trial.submit(trial.shell('exec sleep 600'))
    await trial.waitForRunning(handle)
    await sge.stopMaster()
    try {
      await expect(trial.observe(handle)).rejects.toThrow(EnvironmentError)
    } finally {
      await sge.startMaster()
    }
    await trial.environment.cancel([handle], noSignal)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  }, 120_000)
})
