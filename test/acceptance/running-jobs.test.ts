import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../conformance/until.ts'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'

const limits: Record<string, number> = { ann: 2 }

describe('jobs of a user beyond those that may run', () => {
  let directory: string
  let engine: TestEngine

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-running-'))
    engine = await startTestEngine({ slots: 8, runningJobsOf: (owner) => limits[owner] ?? Infinity })
  })
  afterEach(async () => {
    limits['ann'] = 2
    await engine[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const head = `
    import { commandTask, explore, functionTask, integer, list, shell } from 'molehill'
    const n = integer('n')
  `
  /** Six jobs, each of which shows that it runs and then waits for the gate. */
  const commands = (name: string, group = 1) => ({
    'workflow.ts': `${head}
      export default explore(list(n, [0, 1, 2, 3, 4, 5]), commandTask('wait', {
        command: shell\`touch ${directory}/${name}-\${n}; while [ ! -e ${directory}/gate ]; do sleep 0.02; done; rm ${directory}/${name}-\${n}\`,
      })${group > 1 ? `.by(${group})` : ''})
    `,
  })
  const running = async (id: string) => engine.executions.state(id).counts.running
  const untilRunning = (id: string, jobs: number) =>
    until(
      `${jobs} jobs run`,
      async () => ((await running(id)) === jobs ? true : undefined),
      () => engine.executions.state(id),
    )
  const marks = async () => (await readdir(directory)).filter((name) => name !== 'gate')
  const end = (id: string) => engine.executions.ended(id, AbortSignal.timeout(60_000))
  const open = () => writeFile(join(directory, 'gate'), '')

  it('wait until others have ended, over all executions, and say why', async () => {
    const first = await engine.start(commands('a'), { owner: 'ann' })
    await untilRunning(first, 2)
    const second = await engine.start(commands('b'), { owner: 'ann' })
    const other = await engine.start(commands('c'), { owner: 'bob' })
    await untilRunning(other, 6)
    expect(await running(second)).toBe(0)
    expect(engine.executions.explain(second)[0]?.reason).toContain('As many jobs of its owner run')
    expect((await marks()).filter((name) => name.startsWith('a') || name.startsWith('b'))).toHaveLength(2)
    await open()
    for (const id of [first, second, other])
      expect(await end(id)).toMatchObject({ state: 'finished', counts: { completed: 6 } })
  })

  it('start when the limit is raised, also where none could run', async () => {
    limits['ann'] = 0
    const id = await engine.start(commands('a'), { owner: 'ann' })
    await until('it waits', () =>
      engine.executions.explain(id).some(({ reason }) => reason.includes('As many jobs')) ? true : undefined,
    )
    expect(await marks()).toEqual([])
    limits['ann'] = 3
    engine.executions.lookAgain('ann')
    await untilRunning(id, 3)
    await open()
    expect(await end(id)).toMatchObject({ state: 'finished' })
  })

  it('run in smaller groups where a group is more than may run', async () => {
    const id = await engine.start(commands('a', 4), { owner: 'ann' })
    await open()
    expect(await end(id)).toMatchObject({ state: 'finished', counts: { completed: 6 } })
  })

  it('hold for functions too, and after a restart', async () => {
    const functions = {
      'workflow.ts': `${head}
        const wait = functionTask('wait', {
          inputs: [n],
          outputs: [],
          async run({ n }) {
            const { access, rm, writeFile } = await import('node:fs/promises')
            await writeFile('${directory}/f-' + n, '')
            for (;;) {
              try { await access('${directory}/gate'); break } catch { await new Promise((resolve) => setTimeout(resolve, 20)) }
            }
            await rm('${directory}/f-' + n)
            return {}
          },
        })
        export default explore(list(n, [0, 1, 2, 3, 4, 5]), wait)
      `,
    }
    const id = await engine.start(functions, { owner: 'ann' })
    await untilRunning(id, 2)
    await until('both have begun', async () => ((await marks()).length === 2 ? true : undefined), marks)
    const again = await engine.restart()
    engine = again
    await untilRunning(id, 2)
    expect(engine.executions.summary(id)).toMatchObject({ owner: 'ann' })
    await open()
    expect(await end(id)).toMatchObject({ state: 'finished', counts: { completed: 6 } })
  })
})
