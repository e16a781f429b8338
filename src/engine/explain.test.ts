import { z } from 'zod'
import { FakeEnvironment } from '../environment/fake.ts'
import type { EnvironmentPlugin } from '../environment/plugin.ts'
import { loadPlugins } from '../environment/registry.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestEngine, type TestEngine } from '../../test/helpers/engine.ts'

describe('an explanation', () => {
  let engine: TestEngine

  beforeAll(async () => {
    engine = await startTestEngine({ slots: 1 })
  })

  afterAll(async () => {
    await engine[Symbol.asyncDispose]()
  })

  const reasons = (id: string): Record<string, string> =>
    Object.fromEntries(engine.executions.explain(id).map(({ subject, reason }) => [subject, reason]))

  it('says for every capsule what it waits for: room, samples, a retry', async () => {
    const id = await engine.start({
      'workflow.ts': `
        import { commandTask, explore, functionTask, integer, range, readStdout, shell } from 'molehill'
        const x = integer('x'), y = integer('y')
        const model = commandTask('model', { command: shell\`sleep 983; echo \${x}\`, outputs: [readStdout(y)] })
        const gather = functionTask('gather', { inputs: [y.array], run: () => ({}) })
        export default explore(range(x, { from: 1, to: 500 }), model).aggregate(gather)
      `,
    })
    await expect.poll(() => engine.executions.state(id).counts.running).toBeGreaterThan(0)
    await expect
      .poll(() => reasons(id)['model'])
      .toMatch(/^\d+ running, \d+ waiting\. It waits for room on local/)
    expect(reasons(id)['gather']).toMatch(
      /^It waits for the samples: 0 of 500 are done, \d+ under way, \d+ not begun\.$/,
    )
    const [job] = engine.executions.jobs(id, { state: 'running', limit: 1 }).jobs
    expect(engine.executions.state(id).counts).toMatchObject({ running: 1, ready: 499 })
    expect(engine.executions.explain(id, job?.id)[0]?.reason).toMatch(/^It runs on local since 20/)
    expect(() => engine.executions.explain(id, 999_999)).toThrow('There is no job 999999')
    await engine.executions.cancel(id)
    expect(engine.executions.explain(id)).toEqual([])
  })

  it('does not say that an environment is full where its slots are only busy', async () => {
    const id = await engine.start({
      'workflow.ts': `
        import { commandTask, explore, integer, range, shell } from 'molehill'
        const wait = commandTask('wait', { command: shell\`sleep 984\`, inputs: [integer('x')] })
        export default explore(range(integer('x'), { from: 1, to: 8 }), wait)
      `,
    })
    await expect
      .poll(() => reasons(id)['wait'])
      .toBe(
        '1 running, 7 waiting. It waits for one of the slots of local, which has 8 jobs and runs 1 at once.',
      )
    await engine.executions.cancel(id)
  })

  it('says when a failed job is tried again, and how one ended', async () => {
    const id = await engine.start({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('shaky', { command: shell\`exit 4\` }).retry({ limit: 1, delayMs: 60_000 })
      `,
    })
    await expect
      .poll(() => engine.executions.explain(id, 1)[0]?.reason, { timeout: 5000 })
      .toMatch(/^Attempt 1 failed \(The command ended with exit code 4\); it is tried again in \d+ s\.$/)
    await engine.executions.cancel(id)
    const failed = await engine.run({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('broken', { command: shell\`exit 5\` })
      `,
    })
    expect(engine.executions.explain(failed.id, 1)).toEqual([
      {
        subject: 'broken',
        state: 'failed',
        reason: 'It ended with exit code 5: The command ended with exit code 5.',
      },
    ])
  })

  it('tells what an environment says of jobs that it has not started', async () => {
    const plugin: EnvironmentPlugin<Record<string, never>> = {
      kind: 'cluster',
      options: z.strictObject({}),
      create: async (name) =>
        new FakeEnvironment(() => ({ waitsFor: 'no node has 64 processors' }), { name }),
    }
    const plugins = new Map(await loadPlugins(new URL('../../environments/', import.meta.url)))
    await using waiting = await startTestEngine({ plugins: plugins.set('cluster', plugin) })
    const id = await waiting.start({
      'workflow.ts': `
        import { commandTask, explore, integer, range } from 'molehill'
        const model = commandTask('model', { command: ['true'] }).on({ kind: 'cluster', options: {} })
        export default explore(range(integer('x'), { from: 1, to: 3 }), model)
      `,
    })
    await expect
      .poll(() => waiting.executions.explain(id)[0]?.reason, { timeout: 50_000 })
      .toBe('3 not started yet on cluster: no node has 64 processors.')
    expect(waiting.executions.explain(id, 1)[0]?.reason).toBe(
      'It has been given to cluster, which has not started it yet: no node has 64 processors.',
    )
    await waiting.executions.cancel(id)
  })

  it('follows events without gap or repeat, whoever reads when', async () => {
    const id = await engine.start({
      'workflow.ts': `
        import { explore, functionTask, integer, range } from 'molehill'
        const x = integer('x')
        export default explore(range(x, { from: 1, to: 2000 }), functionTask('f', { inputs: [x], run: () => ({}) }))
      `,
    })
    const read = async (after: number, most = Infinity): Promise<{ sequence: number; kind: string }[]> => {
      const events = []
      for await (const { sequence, kind } of engine.executions.events(
        id,
        after,
        AbortSignal.timeout(20_000),
      )) {
        events.push({ sequence, kind })
        if (events.length >= most) break
      }
      return events
    }
    const [live, first] = await Promise.all([read(0), read(0, 3)])
    const rest = await read(first.at(-1)?.sequence ?? 0)
    expect([...first, ...rest]).toEqual(live)
    expect(live.map(({ sequence }) => sequence)).toEqual(live.map((_, index) => index + 1))
    expect(live.map(({ kind }) => kind)).toContain('jobs')
    expect([live[0]?.kind, live.at(-1)?.kind]).toEqual(['started', 'ended'])
  })
})
