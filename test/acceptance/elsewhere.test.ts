import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { plugin as local } from '../../environments/local/index.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'
import { makeLastingPlugin, type LastingPlugin } from '../helpers/lasting-plugin.ts'

const elsewhere = `{ kind: 'lasting', options: { slots: 2 } }`
const patience = { timeout: 90_000 }

describe('jobs on an environment that outlives the server', () => {
  let lasting: LastingPlugin
  let engine: TestEngine
  let scratch: string

  const open = async (options: Parameters<typeof makeLastingPlugin>[0] = {}): Promise<void> => {
    lasting = makeLastingPlugin(options)
    const plugins = new Map<string, EnvironmentPlugin>([
      ['local', local],
      ['lasting', lasting.plugin],
    ])
    engine = await startTestEngine({ plugins })
  }

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'molehill-elsewhere-'))
    await open()
  })
  afterEach(async () => {
    await lasting[Symbol.asyncDispose]()
    await engine[Symbol.asyncDispose]()
    await rm(scratch, { recursive: true, force: true })
  })

  const marks = async (): Promise<string[]> =>
    (await readFile(join(scratch, 'marks'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')

  /** Three jobs that leave a mark, then wait until the gate is there. */
  const waitingJobs = (more = ''): string => `
    import { commandTask, csv, explore, integer, list, shell } from 'molehill'
    const i = integer('i')
    const wait = commandTask('wait', {
      inputs: [i],
      command: shell\`echo \${i} >> ${scratch}/marks; until [ -e ${scratch}/gate ]; do sleep 0.05; done\`,
    })
    export default explore(list(i, [1, 2, 3]), wait.on(${elsewhere})${more}.hook(csv('out.csv', { values: [i] })))
  `

  test('functions are called there, with files in and out, one process for a group', patience, async () => {
    const id = await engine.start({
      'data.txt': 'from the work directory',
      'double.ts': 'export const double = (n: number): number => 2 * n',
      'workflow.ts': `
        import { readFileSync, writeFileSync } from 'node:fs'
        import { join } from 'node:path'
        import { csv, display, explore, file, functionTask, integer, list, string } from 'molehill'
        import { double } from './double.ts'
        const i = integer('i'), twice = integer('twice'), pid = integer('pid'), made = file('made'), back = string('back')
        const make = functionTask('make', {
          inputs: [i],
          outputs: [twice, made, pid],
          run: ({ i }, job) => {
            console.log('called with', i)
            const path = join(job.directory, 'made.txt')
            writeFileSync(path, readFileSync('data.txt', 'utf8') + ' ' + i)
            return { twice: double(i), made: path, pid: process.pid }
          },
        })
        const read = functionTask('read', {
          inputs: [made],
          outputs: [back],
          run: ({ made }) => ({ back: readFileSync(made, 'utf8') }),
        })
        export default explore(
          list(i, [1, 2, 3, 4]),
          make.on(${elsewhere}).by(2).hook(csv('pids.csv', { values: [pid] })),
        ).next(read.on(${elsewhere}).hook(csv('out.csv', { values: [i, twice, back] })))
      `,
    })
    const state = await engine.executions.ended(id, AbortSignal.timeout(80_000))
    expect(state.error).toBeUndefined()
    const directory = engine.executions.workDirectory(id)
    const rows = (await readFile(join(directory, 'out.csv'), 'utf8')).trim().split('\n').sort()
    expect(rows).toEqual([
      '1,2,from the work directory 1',
      '2,4,from the work directory 2',
      '3,6,from the work directory 3',
      '4,8,from the work directory 4',
      'i,twice,back',
    ])
    const pids = (await readFile(join(directory, 'pids.csv'), 'utf8')).trim().split('\n').slice(1)
    expect(new Set(pids).size).toBe(2)
    expect(await engine.executions.output(id)).toContain('called with 3')
    expect(state.environments.find(({ name }) => name === 'lasting')).toMatchObject({ done: 6, failed: 0 })
    expect(lasting.discarded).toEqual([directory])
  })

  test('a function that throws, ends its process or never ends fails alone', patience, async () => {
    const state = await engine.run({
      'workflow.ts': `
        import { explore, functionTask, integer, list } from 'molehill'
        const i = integer('i')
        const f = functionTask('f', {
          inputs: [i],
          run: async ({ i }) => {
            if (i === 1) throw new Error('not this one')
            if (i === 2) await new Promise((resolve) => setTimeout(resolve, 60_000))
            if (i === 4) process.exit(0)
          },
        })
        export default explore(
          list(i, [1, 2, 3, 4, 5]),
          f.on(${elsewhere}).by(4).timeoutMs(500).tolerate({ share: 1 }),
        )
      `,
    })
    expect(state.counts).toMatchObject({ completed: 2, failed: 3 })
    const errors = state.environments.flatMap((each) => each.errors.map(({ message }) => message)).join('\n')
    expect(errors).toContain('not this one')
    expect(errors).toContain('longer than 500 ms')
    expect(errors).toContain('The function ended its process.')
  })

  test(
    'short functions go together unasked, and one that ends its process ends only itself',
    patience,
    async () => {
      const id = await engine.start({
        'workflow.ts': `
        import { csv, explore, functionTask, integer, range } from 'molehill'
        const i = integer('i'), pid = integer('pid')
        const f = functionTask('f', {
          inputs: [i],
          outputs: [pid],
          run: ({ i }) => {
            if (i % 50 === 7) process.exit(3)
            return { pid: process.pid }
          },
        })
        export default explore(
          range(i, { from: 1, to: 100 }),
          f.on(${elsewhere}).tolerate({ share: 0.1 }).hook(csv('out.csv')),
        )
      `,
      })
      const state = await engine.executions.ended(id, AbortSignal.timeout(80_000))
      expect(state.error).toBeUndefined()
      expect(state.counts).toMatchObject({ completed: 98, failed: 2 })
      expect(state.environments.find(({ name }) => name === 'lasting')).toMatchObject({
        done: 98,
        failed: 2,
      })
      const rows = (await readFile(join(engine.executions.workDirectory(id), 'out.csv'), 'utf8'))
        .trim()
        .split('\n')
      expect(rows).toHaveLength(99)
      expect(new Set(rows.slice(1).map((row) => row.split(',')[1])).size).toBeLessThan(30)
      expect(lasting.submitted.length).toBeLessThan(30)
      expect(new Set(lasting.submitted).size).toBe(lasting.submitted.length)
    },
  )

  test('jobs go on while the server is away, and are followed again', patience, async () => {
    const id = await engine.start({ 'workflow.ts': waitingJobs() })
    await expect.poll(marks, { timeout: 40_000 }).toHaveLength(2)
    engine = await engine.restart()
    await writeFile(join(scratch, 'gate'), '')
    const state = await engine.executions.ended(id, AbortSignal.timeout(80_000))
    expect(state.error).toBeUndefined()
    expect((await marks()).sort()).toEqual(['1', '2', '3'])
    expect(new Set(lasting.submitted).size).toBe(lasting.submitted.length)
    expect(state.environments.find(({ name }) => name === 'lasting')).toMatchObject({ done: 3, failed: 0 })
  })

  test('a group goes on as one', patience, async () => {
    const id = await engine.start({ 'workflow.ts': waitingJobs('.by(3)') })
    await expect.poll(marks, { timeout: 40_000 }).toHaveLength(1)
    engine = await engine.restart()
    await writeFile(join(scratch, 'gate'), '')
    const state = await engine.executions.ended(id, AbortSignal.timeout(80_000))
    expect(state.counts).toMatchObject({ completed: 3, failed: 0 })
    expect((await marks()).sort()).toEqual(['1', '2', '3'])
    expect(lasting.submitted).toHaveLength(1)
  })

  test('a job that was taken while the server died is found again, not started twice', patience, async () => {
    await writeFile(join(scratch, 'gate'), '')
    const taken = Promise.withResolvers<void>()
    const died = Promise.withResolvers<void>()
    lasting.afterSubmit = async () => {
      taken.resolve()
      await died.promise
      throw new Error('the answer never came')
    }
    const id = await engine.start({ 'workflow.ts': waitingJobs() })
    await taken.promise
    const closing = engine.restart()
    lasting.afterSubmit = undefined
    died.resolve()
    engine = await closing
    const state = await engine.executions.ended(id, AbortSignal.timeout(80_000))
    expect(state.counts).toMatchObject({ completed: 3, failed: 0 })
    expect((await marks()).sort()).toEqual(['1', '2', '3'])
  })

  test('an answer that is lost on the way starts nothing a second time', patience, async () => {
    await writeFile(join(scratch, 'gate'), '')
    lasting.afterSubmit = async () => {
      lasting.afterSubmit = undefined
      throw new Error('the connection broke')
    }
    const state = await engine.run({ 'workflow.ts': waitingJobs() })
    expect(state.counts).toMatchObject({ completed: 3, failed: 0 })
    expect((await marks()).sort()).toEqual(['1', '2', '3'])
  })

  test('a cancel while the environment is away ends its jobs when it is back', patience, async () => {
    const id = await engine.start({ 'workflow.ts': waitingJobs() })
    await expect.poll(marks, { timeout: 40_000 }).toHaveLength(2)
    lasting.outage = new Error('no route to host')
    const cancelling = engine.executions.cancel(id)
    await expect.poll(() => engine.warnings.join(), { timeout: 40_000 }).toContain('no route to host')
    lasting.outage = undefined
    await cancelling
    expect(engine.executions.state(id)).toMatchObject({ state: 'failed', isCancelled: true })
    await expect.poll(() => lasting.discarded, { timeout: 40_000 }).toHaveLength(1)
    expect(await marks()).toHaveLength(2)
  })

  test('what is left to tidy up survives the server', patience, async () => {
    await writeFile(join(scratch, 'gate'), '')
    const id = await engine.start({ 'workflow.ts': waitingJobs() })
    await engine.executions.ended(id, AbortSignal.timeout(80_000))
    await expect.poll(() => lasting.discarded, { timeout: 40_000 }).toHaveLength(1)
    lasting.outage = new Error('no route to host')
    await engine.executions.remove(id)
    // Nobody uses the environment any more.
    engine = await engine.restart()
    await expect.poll(() => engine.warnings.join(), { timeout: 40_000 }).toContain('no route to host')
    lasting.outage = undefined
    await expect.poll(() => lasting.discarded, { timeout: 40_000 }).toHaveLength(2)
  })

  test(
    'of several environments, one that cannot take jobs now leaves them to the others',
    patience,
    async () => {
      await writeFile(join(scratch, 'gate'), '')
      lasting.refusal = 'the quota is used up'
      const state = await engine.run({
        'workflow.ts': waitingJobs().replace(`.on(${elsewhere})`, `.on(${elsewhere}, 'local')`),
      })
      expect(state.counts).toMatchObject({ completed: 3, failed: 0 })
      expect(
        state.environments.map(({ name, done, submitted, running }) => [name, done, submitted, running]),
      ).toEqual([
        ['lasting', 0, 0, 0],
        ['local', 3, 0, 0],
      ])
    },
  )

  test('jobs of an environment that stays away run elsewhere, and never count twice', patience, async () => {
    await lasting[Symbol.asyncDispose]()
    await engine[Symbol.asyncDispose]()
    await open({ lostAfterOutageMs: 500 })
    const id = await engine.start({
      'workflow.ts': waitingJobs().replace(`.on(${elsewhere})`, `.on(${elsewhere}, 'local')`),
    })
    // Both environments have two slots: two jobs run there and one here, beside which one more has room.
    await expect.poll(marks, { timeout: 40_000 }).toHaveLength(3)
    lasting.outage = new Error('no route to host')
    await expect.poll(marks, { timeout: 40_000 }).toHaveLength(4)
    lasting.outage = undefined
    await writeFile(join(scratch, 'gate'), '')
    const state = await engine.executions.ended(id, AbortSignal.timeout(80_000))
    expect(state.counts).toMatchObject({ completed: 3, failed: 0 })
    const rows = await readFile(join(engine.executions.workDirectory(id), 'out.csv'), 'utf8')
    expect(rows.trim().split('\n').sort()).toEqual(['1', '2', '3', 'i'])
  })
})
