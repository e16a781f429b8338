import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { unlimited } from '../../src/engine/start-queue.ts'
import { until } from '../conformance/until.ts'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'

const limits = { ...unlimited, maxExecutions: 1, maxQueuedExecutions: 2 }

describe('an engine that runs one execution at a time', () => {
  let gates: string
  let engine: TestEngine

  beforeEach(async () => {
    gates = await mkdtemp(join(tmpdir(), 'molehill-gates-'))
    engine = await startTestEngine({ limits })
  })

  afterEach(async () => {
    await engine[Symbol.asyncDispose]()
    await rm(gates, { recursive: true, force: true })
  })

  /** Starts a workflow that ends when the gate of that name is opened. */
  const start = (gate: string): Promise<string> =>
    engine.start({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('wait', {
          command: shell\`while [ ! -e ${join(gates, gate)} ]; do sleep 0.02; done\`,
        })
      `,
    })
  const open = (gate: string): Promise<void> => writeFile(join(gates, gate), '')
  const end = (id: string) => engine.executions.ended(id, AbortSignal.timeout(30_000))
  const runs = (id: string) =>
    until(
      `execution ${id} runs`,
      () => (engine.executions.state(id).counts.running === 1 ? true : undefined),
      () => engine.executions.state(id),
    )

  it('lets others wait, shows them as ready, and starts them in order', async () => {
    const first = await start('one')
    const second = await start('two')
    const third = await start('three')
    await runs(first)
    expect(engine.executions.queueLength).toBe(2)
    expect(engine.executions.state(second)).toMatchObject({
      state: 'running',
      counts: { ready: 1, running: 0, completed: 0, failed: 0 },
      capsules: [{ name: 'wait', ready: 1 }],
      environments: [{ kind: 'local', ready: 1, running: 0 }],
    })
    expect(engine.executions.jobs(second, { limit: 10 }).jobs).toEqual([])
    await open('one')
    expect(await end(first)).toMatchObject({ state: 'finished' })
    await runs(second)
    expect(engine.executions.state(third).counts).toMatchObject({ ready: 1, running: 0 })
    expect(engine.executions.explain(third)[0]?.reason).toContain('waits in the queue')
    await open('three')
    await open('two')
    expect(await end(third)).toMatchObject({ state: 'finished' })
    expect(engine.executions.state(second).endedAt).toBeLessThanOrEqual(
      engine.executions.state(third).endedAt ?? 0,
    )
    expect(engine.warnings).toEqual([])
  })

  it('refuses what it cannot even let wait, and leaves nothing of it', async () => {
    await start('one')
    await start('two')
    await start('three')
    await expect(start('four')).rejects.toMatchObject({ code: 'server-busy', retryAfterSeconds: 30 })
    expect(await readdir(join(engine.dataDirectory, 'executions'))).toHaveLength(3)
  })

  it('cancels and removes what waits', async () => {
    const first = await start('one')
    const second = await start('two')
    const third = await start('three')
    const ended = end(second)
    await engine.executions.cancel(second)
    expect(await ended).toMatchObject({
      state: 'failed',
      isCancelled: true,
      error: { message: 'The execution was cancelled.' },
    })
    await engine.executions.remove(third)
    expect(engine.executions.list().map(({ id }) => id)).toEqual([first, second])
    expect(engine.executions.queueLength).toBe(0)
    await open('one')
    await end(first)
    engine = await engine.restart()
    expect(engine.executions.state(second)).toMatchObject({ state: 'failed', isCancelled: true })
  })

  it('goes on in order after a restart', async () => {
    const first = await start('one')
    const second = await start('two')
    const third = await start('three')
    await runs(first)
    engine = await engine.restart()
    expect(engine.executions.queueLength).toBe(2)
    expect(engine.executions.state(third).counts).toMatchObject({ ready: 1, running: 0 })
    await Promise.all(['one', 'two', 'three'].map(open))
    const states = await Promise.all([first, second, third].map(end))
    expect(states.map(({ state }) => state)).toEqual(['finished', 'finished', 'finished'])
    const ends = states.map(({ endedAt }) => endedAt ?? 0)
    expect(ends).toEqual([...ends].sort((a, b) => a - b))
  })

  it('gives the events of what waits once it runs', async () => {
    const first = await start('one')
    const second = await start('two')
    const kinds: string[] = []
    const reading = (async () => {
      for await (const { kind } of engine.executions.events(second, 0, AbortSignal.timeout(30_000)))
        kinds.push(kind)
    })()
    await open('two')
    await open('one')
    await end(first)
    await reading
    expect(kinds[0]).toBe('started')
    expect(kinds.at(-1)).toBe('ended')
  })
})

describe('an engine that allows few jobs', () => {
  it('fails an exploration that would bring more, and says how many', async () => {
    await using engine = await startTestEngine({ limits: { ...unlimited, maxJobs: 100 } })
    const workflow = (samples: number) => ({
      'workflow.ts': `
        import { explore, functionTask, integer, range } from 'molehill'
        const x = integer('x'), y = integer('y')
        const work = functionTask('work', { inputs: [x], outputs: [y], run: ({ x }) => ({ y: x }) })
        export default explore(range(x, { from: 1, to: ${samples} }), work)
      `,
    })
    expect(await engine.run(workflow(100))).toMatchObject({ state: 'finished' })
    const { state, error } = await engine.run(workflow(101))
    expect(state).toBe('failed')
    expect(error?.message).toBe(
      'An exploration of 101 samples would bring the execution to 101 jobs; at most 100 are allowed. ' +
        'Take fewer samples, or have the server started with a higher --max-jobs.',
    )
  })
})
