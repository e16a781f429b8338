import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'

describe('the engine', () => {
  let engine: TestEngine

  beforeAll(async () => {
    engine = await startTestEngine()
  })

  afterAll(async () => {
    await engine[Symbol.asyncDispose]()
  })

  const work = async (id: string, path: string): Promise<string> =>
    readFile(join(engine.executions.workDirectory(id), path), 'utf8')

  it('fans out, calls functions and commands, and gathers in the order of the samples', async () => {
    const { id, ...state } = await engine.run({
      'workflow.ts': `
        import { commandTask, csv, explore, functionTask, integer, json, jsonLines, number, range, readStdout, shell } from 'molehill'
        const x = number('x'), y = number('y'), length = integer('length'), all = json('all')
        const square = functionTask('square', { inputs: [x], outputs: [y], run: ({ x }) => ({ y: x * x }) })
        const measure = commandTask('measure', { command: shell\`printf %s \${y} | wc -c\`, outputs: [readStdout(length)] })
        const gather = functionTask('gather', {
          inputs: [x.array, y.array, length.array], outputs: [all], run: ({ x, y, length }) => ({ all: { x, y, length } }),
        }).hook(jsonLines('all.jsonl', { values: [all] }))
        export default explore(range(x, { from: 1, to: 12 }), square.hook(csv('squares.csv')).next(measure)).aggregate(gather)
      `,
    })
    expect(state.error).toBeUndefined()
    expect(state.state).toBe('finished')
    expect(state.counts).toEqual({ ready: 0, running: 0, completed: 25, failed: 0 })
    const numbers = Array.from({ length: 12 }, (_, index) => index + 1)
    expect(JSON.parse(await work(id, 'all.jsonl'))).toEqual({
      all: { x: numbers, y: numbers.map((n) => n * n), length: numbers.map((n) => String(n * n).length) },
    })
    const rows = (await work(id, 'squares.csv')).trim().split('\n')
    expect(rows[0]).toBe('x,y')
    expect(rows.slice(1).sort()).toEqual(numbers.map((n) => `${n},${n * n}`).sort())
  })

  it('nests explorations, and keeps values from outside', async () => {
    const { id, state } = await engine.run({
      'workflow.ts': `
        import { cross, explore, functionTask, integer, json, jsonLines, list, number, range } from 'molehill'
        const a = integer('a'), b = integer('b'), product = integer('product'), offset = integer('offset')
        const sum = integer('sum'), result = json('result')
        const begin = functionTask('begin', { outputs: [offset], run: () => ({ offset: 100 }) })
        const multiply = functionTask('multiply', { inputs: [a, b], outputs: [product], run: ({ a, b }) => ({ product: a * b }) })
        const add = functionTask('add', {
          inputs: [product.array, offset], outputs: [sum],
          run: ({ product, offset }) => ({ sum: product.reduce((x, y) => x + y, offset) }),
        })
        const end = functionTask('end', { inputs: [sum.array, a.array], outputs: [result], run: (all) => ({ result: all }) })
          .hook(jsonLines('result.jsonl', { values: [result] }))
        export default begin
          .explore(list(a, [1, 2, 3]), explore(range(b, { from: 1, to: 4 }), multiply).aggregate(add))
          .aggregate(end)
      `,
    })
    expect(state).toBe('finished')
    expect(JSON.parse(await work(id, 'result.jsonl'))).toEqual({
      result: { a: [1, 2, 3], sum: [110, 120, 130] },
    })
  })

  it('joins parallel branches with the values of all', async () => {
    const { id, state } = await engine.run({
      'workflow.ts': `
        import { functionTask, integer, jsonLines } from 'molehill'
        const a = integer('a'), b = integer('b'), c = integer('c'), d = integer('d')
        const first = functionTask('first', { outputs: [a], run: () => ({ a: 1 }) })
        const left = functionTask('left', { inputs: [a], outputs: [b], run: ({ a }) => ({ b: a + 1 }) })
        const right = functionTask('right', { inputs: [a], outputs: [c], run: ({ a }) => ({ c: a + 2 }) })
        const join = functionTask('join', { inputs: [a, b, c], outputs: [d], run: ({ a, b, c }) => ({ d: a + b + c }) })
        export default first.next(left, right).next(join.hook(jsonLines('d.jsonl')))
      `,
    })
    expect(state).toBe('finished')
    expect(JSON.parse(await work(id, 'd.jsonl'))).toEqual({ a: 1, b: 2, c: 3, d: 6 })
  })

  it('hands files from task to task and shows the work directory to commands', async () => {
    const { id, ...state } = await engine.run({
      'data/words.txt': 'one two three\n',
      'count.sh': 'wc -w < "$1"\n',
      'workflow.ts': `
        import { commandTask, copyFile, file, functionTask, integer, keepFile, placeFile, readStdout, shell } from 'molehill'
        import { readFileSync, writeFileSync } from 'node:fs'
        import { join } from 'node:path'
        const words = file('words', { default: 'data/words.txt' }), shout = file('shout'), report = file('report')
        const count = integer('count')
        const upper = commandTask('upper', {
          command: shell\`tr a-z A-Z < \${words} > out.txt\`, inputs: [words], outputs: [keepFile(shout, 'out.txt')],
        })
        const measure = commandTask('measure', {
          command: ['sh', 'count.sh', 'input.txt'], inputs: [placeFile(shout, 'input.txt')], outputs: [readStdout(count)],
        })
        const write = functionTask('write', {
          inputs: [shout, count], outputs: [report],
          run({ shout, count }, job) {
            const path = join(job.directory, 'report.txt')
            writeFileSync(path, readFileSync(shout, 'utf8') + count)
            return { report: path }
          },
        }).hook(copyFile(report, 'results/report.txt'))
        export default upper.next(measure).next(write)
      `,
    })
    expect(state.error).toBeUndefined()
    expect(await work(id, 'results/report.txt')).toBe('ONE TWO THREE\n3')
    expect((await readdir(engine.executions.workDirectory(id))).sort()).toEqual([
      'count.sh',
      'data',
      'results',
      'workflow.ts',
    ])
  })

  it('substitutes awkward values into a shell command as single words', async () => {
    const awkward = `it's "a" $HOME \`ls\` \\ * ; | & \n new line`
    const { id, state } = await engine.run({
      'workflow.ts': `
        import { commandTask, explore, jsonLines, list, readJson, shell, string } from 'molehill'
        const word = string('word'), back = string('back')
        const echo = commandTask('echo', {
          command: shell\`node -e 'console.log(JSON.stringify(process.argv[1]))' -- \${word}\`,
          outputs: [readJson(back)],
        }).hook(jsonLines('back.jsonl'))
        export default explore(list(word, [${JSON.stringify(awkward)}]), echo)
      `,
    })
    expect(state).toBe('finished')
    expect(JSON.parse(await work(id, 'back.jsonl'))).toEqual({ word: awkward, back: awkward })
  })

  it('fails with the message, exit code and error output of the job that failed', async () => {
    const state = await engine.run({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('broken', { command: shell\`echo no such model >&2; exit 7\` })
      `,
    })
    expect(state.state).toBe('failed')
    expect(state.error?.message).toBe('broken: The command ended with exit code 7: no such model')
    expect(state.counts.failed).toBe(1)
    expect(state.environments.at(-1)).toMatchObject({ name: 'local', done: 0, failed: 1 })
    expect(engine.executions.jobs(state.id, { limit: 10 }).jobs).toMatchObject([
      { capsule: 'broken', state: 'failed', exitCode: 7, attempts: 1 },
    ])
    expect(await engine.executions.output(state.id)).toContain('no such model')
  })

  it('tries a failing job again as often as asked, and says where a function threw', async () => {
    const state = await engine.run({
      'workflow.ts': `
        import { functionTask } from 'molehill'
        export default functionTask('shaky', {
          run() {
            throw new Error('the model diverged')
          },
        }).retry({ limit: 2, delayMs: 1 })
      `,
    })
    expect(state.error?.message).toBe('shaky: Error: the model diverged')
    expect(state.error?.stackTrace).toContain('workflow.ts:5:')
    expect(engine.executions.jobs(state.id, { limit: 1 }).jobs[0]?.attempts).toBe(3)
    expect(state.environments.at(-1)?.errors.map(({ level }) => level)).toEqual([
      'WARNING',
      'WARNING',
      'SEVERE',
    ])
  })

  it('leaves failed samples out of the arrays as far as failures are tolerated', async () => {
    const script = (share: number): string =>
      `
      import { explore, functionTask, integer, jsonLines, range } from 'molehill'
      const x = integer('x'), y = integer('y')
      const odd = functionTask('odd', {
        inputs: [x], outputs: [y],
        run({ x }) { if (x % 4 === 0) throw new Error('a multiple of four'); return { y: x } },
      }).tolerate({ share: ${share} })
      const gather = functionTask('gather', { inputs: [y.array] }).hook(jsonLines('y.jsonl'))
      export default explore(range(x, { from: 1, to: 8 }), odd).aggregate(gather)
    `.replace('inputs: [y.array] }', 'inputs: [y.array], run: () => ({}) }')
    const tolerated = await engine.run({ 'workflow.ts': script(0.25) })
    expect(tolerated.state).toBe('finished')
    expect(tolerated.counts).toEqual({ ready: 0, running: 0, completed: 7, failed: 2 })
    expect(JSON.parse(await work(tolerated.id, 'y.jsonl'))).toEqual({ y: [1, 2, 3, 5, 6, 7] })
    expect((await engine.run({ 'workflow.ts': script(0.2) })).state).toBe('failed')
  })

  it('ends a function and a command at their time-out without hurting others', async () => {
    const state = await engine.run({
      'workflow.ts': `
        import { commandTask, explore, functionTask, integer, parallel, range, shell } from 'molehill'
        const x = integer('x'), y = integer('y')
        const loop = functionTask('loop', {
          inputs: [x], outputs: [y], run({ x }) { while (x === 3) continue; return { y: x } },
        }).timeoutMs(300).tolerate({ share: 0.2 })
        const sleep = commandTask('sleep', { command: shell\`test \${x} = 3 && sleep 100; true\` })
          .timeoutMs(300).tolerate({ share: 0.2 })
        export default explore(range(x, { from: 1, to: 8 }), loop, sleep)
      `,
    })
    expect(state.state).toBe('finished')
    expect(state.capsules).toMatchObject([
      { name: 'loop', completed: 7, failed: 1 },
      { name: 'sleep', completed: 7, failed: 1 },
    ])
  })

  it('makes one environment job of a group, of functions and of commands', async () => {
    const state = await engine.run({
      'data.txt': 'shared\n',
      'workflow.ts': `
        import { commandTask, explore, functionTask, integer, local, range, readText, shell, string } from 'molehill'
        const x = integer('x'), y = integer('y'), text = string('text')
        const twice = functionTask('twice', { inputs: [x], outputs: [y], run: ({ x }) => ({ y: 2 * x }) }).by(4)
        const copy = commandTask('copy', {
          command: shell\`mkdir -p out && cat data.txt > out/text && echo \${y} >> out/text\`,
          outputs: [readText(text, 'out/text')],
        }).on(local({ slots: 1, name: 'alone' })).by(5)
        export default explore(range(x, { from: 1, to: 10 }), twice.next(copy))
      `,
    })
    expect(state.error).toBeUndefined()
    expect(state.counts.completed).toBe(20)
    expect(state.environments).toMatchObject([
      { name: 'alone', done: 2, failed: 0 },
      { name: 'local', done: 3, failed: 0 },
    ])
  })

  it('writes display hooks and what tasks print into the output', async () => {
    const { id } = await engine.run({
      'workflow.ts': `
        import { commandTask, display, functionTask, integer, shell, text } from 'molehill'
        const x = integer('x')
        const say = functionTask('say', { outputs: [x], run: () => { console.log('from the function'); return { x: 5 } } })
          .hook(display(), display(text\`x is \${x}\`), display(({ x }: { x: number }) => 'and ' + (x + 1)))
        export default say.next(commandTask('print', { command: shell\`echo from the command\` }))
      `,
    })
    const output = await engine.executions.output(id)
    for (const line of ['from the function', 'x = 5', 'x is 5', 'and 6', 'from the command'])
      expect(output.split('\n')).toContain(line)
  })

  it('fails when a hook cannot write, also when that is the last thing to do', async () => {
    const { state, error } = await engine.run({
      'workflow.ts': `
        import { csv, functionTask, integer } from 'molehill'
        const x = integer('x')
        export default functionTask('f', { outputs: [x], run: () => ({ x: 1 }) }).hook(csv('workflow.ts/rows.csv'))
      `,
    })
    expect(state).toBe('failed')
    expect(error?.message).toMatch(/^A hook cannot write workflow\.ts\/rows\.csv: /)
  })

  it('fails when its journal cannot be written any more, instead of waiting for ever', async () => {
    const id = await engine.start({
      'workflow.ts': `
        import { explore, functionTask, integer, range } from 'molehill'
        const x = integer('x')
        const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
        export default explore(range(x, { from: 1, to: 1000 }), functionTask('slow', {
          inputs: [x], async run() { await wait(20); return {} },
        }))
      `,
    })
    const journal = new DatabaseSync(join(engine.dataDirectory, 'executions', id, 'journal.db'))
    journal.exec('PRAGMA busy_timeout = 5000; DROP TABLE jobs')
    journal.close()
    const state = await engine.executions.ended(id, AbortSignal.timeout(20_000))
    expect(state.state).toBe('failed')
    expect(state.error?.message).toContain('journal.db cannot be written: no such table')
  })

  it('refuses a script or an environment that cannot be, and leaves nothing behind', async () => {
    const before = await readdir(join(engine.dataDirectory, 'executions'))
    await expect(engine.run({ 'workflow.ts': 'export default 3' })).rejects.toMatchObject({
      code: 'script-invalid',
    })
    await expect(
      engine.run({
        'workflow.ts': `
          import { functionTask } from 'molehill'
          export default functionTask('a', { run: () => ({}) }).on({ kind: 'moon', options: {} })
        `,
      }),
    ).rejects.toMatchObject({ code: 'workflow-invalid' })
    expect(await readdir(join(engine.dataDirectory, 'executions'))).toEqual(before)
  })

  it('cancels a run and leaves no process, and removes all of it', async () => {
    const id = await engine.start({
      'workflow.ts': `
        import { commandTask, explore, integer, range, shell } from 'molehill'
        const x = integer('x')
        export default explore(range(x, { from: 1, to: 50 }), commandTask('sleep', { command: shell\`sleep 987\` }))
      `,
    })
    await expect.poll(() => engine.executions.state(id).counts.running).toBeGreaterThan(0)
    await engine.executions.cancel(id)
    const state = engine.executions.state(id)
    expect(state).toMatchObject({ state: 'failed', isCancelled: true, counts: { running: 0, ready: 50 } })
    expect(await sleepers()).toEqual([])
    await engine.executions.remove(id)
    expect(() => engine.executions.state(id)).toThrow('Execution not found')
    expect(await readdir(join(engine.dataDirectory, 'executions'))).not.toContain(id)
  })
})

async function sleepers(): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('sleep\u0000987')) found.push(pid)
  }
  return found
}
