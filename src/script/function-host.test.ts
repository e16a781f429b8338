import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { FunctionHost, FunctionOutcome, ScriptSource } from './contract.ts'
import { evaluateScript } from './evaluate.ts'
import { startFunctionHost } from './function-host.ts'
import { snapshotModules } from './snapshot.ts'

const script = `import { display, functionTask, json, number } from 'molehill'
import { execSync } from 'node:child_process'
import { appendFileSync, existsSync, writeFileSync, writeSync } from 'node:fs'
import { double } from './double.ts'

const x = number('x', { default: 0 })
const y = json('y')
const more = (x: number) => ({ y: double(x) + 1 })
const tasks: Record<string, (inputs: { x: number }, job: { directory: string }) => any> = {
  right: ({ x }) => more(x),
  later: async ({ x }) => { await new Promise((resolve) => setTimeout(resolve, 5)); return more(x) },
  odd: ({ x }) => ({ y: [NaN, -Infinity, 'ä€😀', null][x] }),
  throws: ({ x }) => { if (x === 1) throw new RangeError('no one'); if (x === 2) throw 'text'; return more(x) },
  foreign: ({ x }) => ({ y: [() => 1, { a: [1, new Map()] }, 5n, new Float64Array(2), [undefined], Symbol('s'), Promise.resolve(1)][x] }),
  itself: () => { const y: unknown[] = []; y.push(y); return { y } },
  loops: ({ x }) => { appendFileSync('calls.txt', x + ' '); if (x === 2) for (;;); return more(x) },
  hangs: async ({ x }) => { if (x === 0) await new Promise(() => {}); return more(x) },
  exits: ({ x }) => { console.log('exits ' + x); if (x === 1) process.exit(7); return more(x) },
  dies: ({ x }) => { if (x === 3) process.kill(process.pid, 'SIGKILL'); return more(x) },
  eats: ({ x }) => { const k: unknown[] = []; if (x === 1) for (;;) k.push(new Array(1000).fill(1.5)); return more(x) },
  hoards: async ({ x }) => { const k: unknown[] = []; if (x === 1) for (;;) { k.push(Buffer.alloc(1 << 24, 1)); await new Promise(setImmediate) } return more(x) },
  stray: async ({ x }) => { if (x === 1) setTimeout(() => { throw new Error('stray') }); await new Promise((resolve) => setTimeout(resolve, 30)); return more(x) },
  prints: ({ x }) => { console.log('out', x); process.stderr.write('err ' + x + '\\n'); execSync('echo program ' + x, { stdio: 'inherit' }); return more(x) },
  floods: () => { for (let i = 0; i < 20000; i += 1) console.log(i + ' ' + 'z'.repeat(100)); return more(1) },
  directory: ({ x }, job) => { if (x === 1) writeFileSync(job.directory + '/made.txt', job.directory); return more(x) },
  large: () => ({ y: 'x'.repeat(3_000_000) }),
  tooLarge: () => ({ y: 'x'.repeat(20_000_000) }),
  meets: async ({ x }) => {
    writeFileSync('met-' + x, '')
    while (!existsSync('met-' + (1 - x))) await new Promise((resolve) => setTimeout(resolve, 5))
    return more(x)
  },
  meddles: ({ x }) => { if (x === 1) writeSync(3, 'x'.repeat(1000)); return more(x) },
  sleeps: async ({ x }) => { await new Promise((resolve) => setTimeout(resolve, 400)); return more(x) },
}
export default Object.entries(tasks).map(([name, run]) =>
  functionTask(name, { inputs: [x], outputs: [y], run }).hook(display(({ y }) => 'y is ' + y)),
).reduce((workflow, task) => workflow.next(task) as never)
`

let root: string
let source: ScriptSource
let host: FunctionHost
let output = ''
const warnings: string[] = []
let lost = 0
const signal = new AbortController().signal
const memoryBytes = 256 * 1024 * 1024

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'function-host-')))
  const work = await mkdtemp(join(root, 'work '))
  await writeFile(join(work, 'w.ts'), script)
  await writeFile(join(work, 'double.ts'), 'export const double = (x: number): number => 2 * x')
  const limits = { timeMs: 20_000, memoryBytes, outputBytes: 10_000 }
  const evaluation = await evaluateScript({ workDirectory: work, script: 'w.ts', limits, signal })
  source = { workDirectory: work, script: 'w.ts', modulesDirectory: join(root, 'modules') }
  await snapshotModules(evaluation, work, source.modulesDirectory)
  // From here on the copies count.
  await writeFile(join(work, 'w.ts'), 'throw new Error("changed")')
  await rm(join(work, 'double.ts'))
  host = startFunctionHost(source, {
    threads: 2,
    memoryBytes,
    onOutput: (text) => void (output += text),
    warn: (message) => void warnings.push(message),
    lost: () => void (lost += 1),
  })
})
afterAll(async () => {
  await host.close()
  const left = processesIn(root)
  await rm(root, { recursive: true })
  if (left.length > 0) throw new Error(`Processes were left behind: ${left.join('; ')}`)
})

describe('calls', () => {
  test('give their results in order, from modules as they were at the start', async () => {
    expect(await call('right', 4)).toEqual([1, 3, 5, 7])
    expect(await call('later', 3)).toEqual([1, 3, 5])
    expect(await host.call('right.run', [], { timeoutMs: null, signal })).toEqual([])
  })

  test('run in several batches at the same time', async () => {
    expect(host.parallelism).toBe(2)
    const [one, two] = calls(2).map((each) => host.call('meets.run', [each], { timeoutMs: 20_000, signal }))
    expect([await one, await two]).toEqual([
      [{ kind: 'returned', result: { y: 1 } }],
      [{ kind: 'returned', result: { y: 3 } }],
    ])
  })

  test('carry numbers that JSON lacks, any text, and more calls than fit at once', async () => {
    expect(await call('odd', 4)).toEqual([NaN, -Infinity, 'ä€😀', null])
    const results = await call('right', 3000)
    expect(results).toEqual(Array.from({ length: 3000 }, (_, x) => 2 * x + 1))
  })

  test('return large results, and say when one is too large', async () => {
    const large = await call('large', 30)
    expect(large.map((y) => (typeof y === 'string' ? y.length : y))).toEqual(Array(30).fill(3_000_000))
    expect(await call('tooLarge', 1)).toEqual([expect.stringContaining('Large results belong into files.')])
  })

  test('reach the functions of hooks', async () => {
    const outcomes = await host.call('right.hooks[0]', [{ inputs: { x: 1, y: 3 }, directory: '/nowhere' }], {
      timeoutMs: null,
      signal,
    })
    expect(outcomes).toEqual([{ kind: 'returned', result: 'y is 3' }])
  })

  test('make their directory only when they ask for it', async () => {
    await call('directory', 2)
    expect(existsSync(join(root, 'jobs', '0'))).toBe(false)
    expect(existsSync(join(root, 'jobs', '1', 'made.txt'))).toBe(true)
  })
})

describe('a function that fails hurts its own call only', () => {
  test('by throwing', async () => {
    const outcomes = await outcomesOf('throws', 4)
    expect(outcomes.map(({ kind }) => kind)).toEqual(['returned', 'threw', 'threw', 'returned'])
    expect(outcomes[1]).toMatchObject({
      message: 'RangeError: no one',
      stack: expect.stringMatching(/^RangeError: no one\n {4}at (?:Object\.)?throws \(w\.ts:13:\d+\)$/),
    })
    expect(outcomes[2]).toMatchObject({ message: "'text' was thrown; expected an Error." })
  })

  test('by returning what is no data', async () => {
    const told = [
      'y is a function',
      'y.a[1] is a Map',
      'y is a bigint',
      'y is a Float64Array, which Array.from makes an array of',
      'y[0] is undefined',
      'y is a symbol',
      'y is a Promise',
    ]
    expect(await call('foreign', 7)).toEqual(
      told.map((what) => `The function returned something that is no data: ${what}.`),
    )
    expect(await call('itself', 1)).toEqual([expect.stringContaining('or holds itself')])
  })

  test('by looping; every other call is made once', async () => {
    await rm(join(source.workDirectory, 'calls.txt'), { force: true })
    expect(await call('loops', 5, 400)).toEqual([1, 3, 'The function took longer than 400 ms.', 7, 9])
    expect(execFileSync('cat', [join(source.workDirectory, 'calls.txt')], { encoding: 'utf8' })).toBe(
      '0 1 2 3 4 ',
    )
  })

  test('by waiting for what never comes', async () => {
    expect(await call('hangs', 3, 300)).toEqual(['The function took longer than 300 ms.', 3, 5])
  })

  test('by ending its process', async () => {
    expect(await call('exits', 3)).toEqual([1, 'The function ended its process with exit code 7.', 5])
    await vi.waitFor(() => expect(output).toContain('exits 0\nexits 1\nexits 2\n'))
  })

  test('by an error outside of its own control', async () => {
    expect(await call('stray', 3)).toEqual([1, 'Error: stray', 5])
  })

  test('by taking the whole process down, beside another batch', async () => {
    lost = 0
    const [died, beside] = await Promise.all([call('dies', 5), call('sleeps', 2)])
    expect(died).toEqual([
      1,
      3,
      5,
      'The function took its process down, which was ended by signal SIGKILL.',
      9,
    ])
    expect(beside).toEqual([1, 3])
    // With the others at first, and then alone.
    expect(lost).toBe(2)
    expect(warnings).toContainEqual(
      expect.stringContaining('was ended by signal SIGKILL; it is started again'),
    )
  })

  test.each(['eats', 'hoards'])('by using up its memory: %s', async (name) => {
    expect(await call(name, 3)).toEqual([1, 'The function used up its memory.', 5])
  })

  test('by writing where only the host writes', async () => {
    expect(await call('meddles', 3)).toEqual([
      1,
      'The function took its process down, which was ended by signal SIGKILL.',
      5,
    ])
  })

  test('by not being there', async () => {
    expect(await call('none', 2)).toEqual(Array(2).fill('The script has no function none.run any more.'))
  })
})

describe('console output', () => {
  test('arrives in order, that of programs included', async () => {
    output = ''
    await call('prints', 2)
    await vi.waitFor(() => expect(output).toContain('program 1\n'))
    expect(output.replace(/program \d\n/g, '')).toBe('out 0\nerr 0\nout 1\nerr 1\n')
  })

  test('is complete however much there is', async () => {
    output = ''
    await call('floods', 1)
    await vi.waitFor(() => expect(output.trimEnd().split('\n')).toHaveLength(20_000))
    expect(output.startsWith('0 zzz')).toBe(true)
  })
})

describe('the end', () => {
  test('comes to a batch by its signal, running or waiting', async () => {
    const ending = new AbortController()
    const running = [0, 1, 2, 3].map(() =>
      host.call('hangs.run', calls(1), { timeoutMs: null, signal: ending.signal }),
    )
    setTimeout(() => ending.abort(new Error('enough')), 200)
    for (const outcome of await Promise.allSettled(running))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    expect(await call('right', 2)).toEqual([1, 3])
    await expect(
      host.call('right.run', calls(1), { timeoutMs: null, signal: ending.signal }),
    ).rejects.toThrow('enough')
  })

  test('comes to everything by close, and leaves no process', async () => {
    const other = startFunctionHost(source, { threads: 2, onOutput: () => undefined, warn: () => undefined })
    const running = [0, 1, 2, 3].map(() => other.call('loops.run', calls(3), { timeoutMs: null, signal }))
    const settled = Promise.allSettled(running)
    await vi.waitFor(() => expect(processesIn(source.workDirectory)).toHaveLength(2))
    await other.close()
    for (const outcome of await settled) expect(outcome.status).toBe('rejected')
    await expect(other.call('right.run', calls(1), { timeoutMs: null, signal })).rejects.toThrow('closed')
    await other.close()
  })

  test('is told when the process cannot be had', async () => {
    const other = startFunctionHost(
      { ...source, workDirectory: join(root, 'gone') },
      { threads: 1, onOutput: () => undefined, warn: () => undefined },
    )
    await expect(other.call('right.run', calls(1), { timeoutMs: null, signal })).rejects.toThrow('gone')
    await other.close()
  })

  test('comes to the process when the server dies, even in an endless loop', async () => {
    const module = new URL('function-host.ts', import.meta.url).href
    const server = `import { startFunctionHost } from '${module}'
const host = startFunctionHost(${JSON.stringify(source)}, { threads: 1, onOutput: () => {}, warn: () => {} })
await host.call('loops.run', [{ inputs: { x: 2 }, directory: '' }], { timeoutMs: null, signal: new AbortController().signal })`
    await rm(join(source.workDirectory, 'calls.txt'), { force: true })
    const before = processesIn(source.workDirectory)
    const parent = spawn(process.execPath, ['--input-type=module', '-e', server], { stdio: 'ignore' })
    onTestFinished(() => void parent.kill('SIGKILL'))
    const options = { timeout: 20_000, interval: 100 }
    await vi.waitFor(() => expect(existsSync(join(source.workDirectory, 'calls.txt'))).toBe(true), options)
    expect(processesIn(source.workDirectory)).toHaveLength(before.length + 1)
    parent.kill('SIGKILL')
    await vi.waitFor(() => expect(processesIn(source.workDirectory)).toEqual(before), options)
  })
})

function calls(count: number): { inputs: { x: number }; directory: string }[] {
  return Array.from({ length: count }, (_, x) => ({
    inputs: { x },
    directory: join(root, 'jobs', String(x)),
  }))
}

async function outcomesOf(
  name: string,
  count: number,
  timeoutMs: number | null = null,
): Promise<readonly FunctionOutcome[]> {
  return host.call(`${name}.run`, calls(count), { timeoutMs, signal })
}

/** What came back as `y`, or the message of what went wrong. */
async function call(name: string, count: number, timeoutMs: number | null = null): Promise<unknown[]> {
  const outcomes = await outcomesOf(name, count, timeoutMs)
  return outcomes.map((outcome) =>
    outcome.kind === 'returned' ? (outcome.result as { y: unknown }).y : outcome.message,
  )
}

/** Processes that work in a directory. */
function processesIn(directory: string): string[] {
  const listed = execFileSync('/bin/sh', ['-c', 'readlink /proc/[0-9]*/cwd /dev/null || :'], {
    encoding: 'utf8',
  })
  return listed.split('\n').filter((line) => line.startsWith(directory))
}
