import { execFileSync, spawn } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { Problem } from '../problem.ts'
import type { Evaluation } from './contract.ts'
import { evaluateScript } from './evaluate.ts'

const limits = { timeMs: 20_000, memoryBytes: 128 * 1024 * 1024, outputBytes: 64 * 1024 }
let root: string
let work: string
let made = 0

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'evaluate-')))
})
beforeEach(async () => {
  made += 1
  work = join(root, `work ${made}`)
  await mkdir(work)
})
afterAll(async () => {
  await rm(root, { recursive: true })
  const left = processesIn(root)
  if (left.length > 0) throw new Error(`Processes were left behind: ${left.join('; ')}`)
})

const good = `import { explore, functionTask, number, range } from 'molehill'
import { twice } from './lib/twice.ts'
const x = number('x')
const y = number('y', { default: NaN })
export default explore(range(x, { from: 0, to: Infinity }), functionTask('model', {
  inputs: [x, y], outputs: [], run: ({ x }) => (twice(x), {}) }))`
const twice = 'export const twice = (x: number): number => 2 * x'

describe('a script that gives a workflow', () => {
  test('becomes a plan, with its modules and with locations', async () => {
    const { plan, modules } = await evaluate(
      { 'flows/model.ts': good.replace('./', '../'), 'lib/twice.ts': twice },
      'flows/model.ts',
    )
    expect(plan).toMatchObject({ name: 'model', script: 'flows/model.ts' })
    expect(plan.steps[0]).toMatchObject({
      kind: 'explore',
      sampling: { to: Infinity },
      location: { file: 'flows/model.ts', line: 5, column: 16 },
    })
    expect(plan.steps[1]).toMatchObject({ task: { inputs: [{ name: 'x' }, { name: 'y', default: NaN }] } })
    expect(modules).toEqual(['flows/model.ts', 'lib/twice.ts'])
  })

  test('imports the language of this server whatever lies in its node_modules', async () => {
    const fake = {
      'node_modules/molehill/package.json': '{"name":"molehill","main":"x.js"}',
      'node_modules/molehill/x.js': 'throw 1',
    }
    expect((await evaluate({ 'w.ts': good, 'lib/twice.ts': twice, ...fake })).modules).toHaveLength(2)
  })

  test('may import packages, CommonJS and JSON of its work directory', async () => {
    const { modules } = await evaluate(
      {
        'w.js': `import { functionTask } from 'molehill'
import twice from 'twice'
import data from './data.json' with { type: 'json' }
export default functionTask(data.name + twice(2), { run: () => ({}) })`,
        'data.json': '{"name":"model"}',
        'node_modules/twice/package.json': '{"name":"twice","main":"main.cjs"}',
        'node_modules/twice/main.cjs': 'module.exports = (x) => require("./two.cjs") * x',
        'node_modules/twice/two.cjs': 'module.exports = 2',
      },
      'w.js',
    )
    expect(modules.toSorted()).toEqual([
      'data.json',
      'node_modules/twice/main.cjs',
      'node_modules/twice/two.cjs',
      'w.js',
    ])
  })

  test('does not see the environment of the server', async () => {
    const script = `import { functionTask } from 'molehill'
export default functionTask(process.env.SECRET === undefined && process.env.LANG === 'C' ? 'clean' : 'leaks', { run: () => ({}) })`
    await writeFile(join(work, 'w.ts'), script)
    const { plan } = await evaluateScript({
      workDirectory: work,
      script: 'w.ts',
      limits,
      signal: new AbortController().signal,
      environment: { SECRET: 'x', LANG: 'C' },
    })
    expect(plan.steps[0]).toMatchObject({ name: 'clean' })
  })
})

describe('a script that is not there', () => {
  test.each(['', 'none.ts', '/etc/passwd', '../w.ts', 'lib', 'out.ts', 'lib/../w.ts', 'a\0b.ts'])(
    'is told of: %j',
    async (script) => {
      await writeFile(join(root, 'outside.ts'), good)
      await symlink(join(root, 'outside.ts'), join(work, 'out.ts'))
      await expect(evaluate({ 'lib/twice.ts': twice, 'w.ts': good }, script)).rejects.toMatchObject({
        code: 'script-missing',
        message:
          "The script doesn't exist in the workDirectory. The content of the workDirectory is: lib, out.ts, w.ts",
      })
    },
  )

  test('names only some of many files', async () => {
    const files = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`f${index}`, '']))
    await expect(evaluate(files)).rejects.toThrow(/: f0, f1, .*, and 10 more$/)
  })

  test('is another thing than a file of a kind that is not read', async () => {
    await expect(evaluate({ 'w.oms': '' }, 'w.oms')).rejects.toMatchObject({ code: 'script-invalid' })
  })
})

describe('a script that fails is told of in one sentence, with its place', () => {
  test.each<[string, string, string | RegExp]>([
    [
      'syntax error in TypeScript',
      'const a: number = 1\nconst b = = 2',
      'w.ts:2:11: SyntaxError: Expression expected',
    ],
    [
      'syntax error only JavaScript knows',
      'let a: number = 1\n\n  let a = 2\nexport {}',
      "w.ts:3:7: SyntaxError: Identifier 'a' has already been declared",
    ],
    [
      'syntax that cannot be stripped',
      'enum A { B }',
      'w.ts:1:1: SyntaxError: TypeScript enum is not supported in strip-only mode',
    ],
    ['syntax error in an import', "import './bad.mjs'", "bad.mjs:2:11: SyntaxError: Unexpected token '='"],
    ['an error', "export {}\nfunction f() { throw new RangeError('no') }\nf()", 'w.ts:2:22: RangeError: no'],
    ['a text', "throw 'no'", "w.ts: 'no' was thrown; expected an Error."],
    ['nothing', 'throw undefined', 'w.ts: undefined was thrown; expected an Error.'],
    [
      'an object that resists',
      'throw { toString() { throw 1 } }',
      /^w\.ts: \{.*\} was thrown; expected an Error\.$/,
    ],
    [
      'an error that resists',
      'const e = new Error("x"); Object.defineProperty(e, "message", { get() { throw 1 } }); throw e',
      /^w\.ts: Something that cannot be shown/,
    ],
    [
      'a rejected promise',
      "export {}\nawait Promise.reject(new TypeError('no'))",
      'w.ts:2:22: TypeError: no',
    ],
    [
      'a rejected promise nobody awaits',
      "export {}\nvoid Promise.reject(new TypeError('no'))",
      'w.ts:2:21: TypeError: no',
    ],
    [
      'a missing module',
      "export {}\nimport './none.ts'",
      'w.ts:2:8: "./none.ts" cannot be imported: there is no such file or package.',
    ],
    [
      'a missing package',
      "import 'left-pad'",
      'w.ts:1:8: "left-pad" cannot be imported: there is no such file or package.',
    ],
    [
      'a missing export',
      "import { b } from './lib.ts'",
      "w.ts:1:10: SyntaxError: The requested module './lib.ts' does not provide an export named 'b'",
    ],
    [
      'a module outside',
      `import '${import.meta.filename}'`,
      /^w\.ts:1:8: ".*" lies outside of the work directory; /,
    ],
    [
      'a module from nowhere',
      "import 'data:text/javascript,1'",
      /^w\.ts:1:8: ".*" lies outside of the work directory; /,
    ],
    [
      'the end of its process',
      'export {}\nprocess.exit(3)',
      'w.ts:2:9: The script ended its own process, with exit code 3, instead of giving a workflow.',
    ],
    [
      'its abortion',
      'process.abort()',
      'w.ts: The process that read the script ended with signal SIGABRT and no workflow.',
    ],
    [
      'a promise that never settles',
      'await new Promise(() => {})\nexport {}',
      'w.ts: The script never ends: it awaits something at its top level that cannot happen any more.',
    ],
    [
      'too much memory',
      'const k: unknown[] = []; for (;;) k.push(new Array(1000).fill(1.5))',
      'w.ts: The script needs more than the 128 MiB of memory that reading it may take.',
    ],
    [
      'too much output',
      'for (;;) console.log("x".repeat(1000))',
      'w.ts: The script wrote more than 65536 bytes while it was read.',
    ],
    [
      'no default export',
      'export const a = 1',
      'w.ts: The script exports nothing by default, only a; expected a workflow as its default export.',
    ],
    [
      'nothing exported',
      'export {}',
      'w.ts: The script exports nothing; expected a workflow as its default export.',
    ],
    [
      'a number exported',
      'export default 5',
      'w.ts: The script exports a number; expected a workflow as its default export.',
    ],
    [
      'a promise exported',
      'export default Promise.resolve(5)',
      'w.ts: The script exports a promise; await it first; expected a workflow as its default export.',
    ],
    [
      'a workflow that resists',
      "import { Workflow } from 'molehill'\nexport default Object.create(Workflow.prototype, { graph: { get() { throw new Error('no') } } })",
      'w.ts:2:75: Error: no',
    ],
    [
      'JSON replaced',
      `JSON.stringify = () => 'no'\n${good}`,
      'w.ts: The script left nothing that can be read as a workflow.',
    ],
    [
      'a forged hook',
      "import { functionTask } from 'molehill'\nexport default functionTask('a', { run: () => ({}) }).hook({ kind: 'display' } as never, { kind: 'csv', path: 'a', header: 3 } as never)",
      /^w\.ts: The workflow holds something that cannot be run:\n.*expected boolean/,
    ],
  ])('%s', async (_, script, message) => {
    const files = {
      'w.ts': script,
      'bad.mjs': 'const a = 1\nconst b = = 2',
      'lib.ts': 'export const a = 1',
      'lib/twice.ts': twice,
    }
    const problem = await evaluate(files).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(problem).toBeInstanceOf(Problem)
    expect(problem).toMatchObject({ code: 'script-invalid' })
    expect((problem as Problem).message).toEqual(
      typeof message === 'string' ? message : expect.stringMatching(message),
    )
  })

  test.each([
    ['loops', 'for (;;);'],
    ['waits', 'await new Promise(() => setInterval(() => {}, 1000))\nexport {}'],
    [
      'leaves a program behind',
      "import { spawn } from 'node:child_process'\nspawn('sleep', ['100'], { stdio: 'inherit' })\nfor (;;);",
    ],
  ])('a script that %s is ended', async (_, script) => {
    await writeFile(join(work, 'w.ts'), script)
    const signal = new AbortController().signal
    await expect(
      evaluateScript({ workDirectory: work, script: 'w.ts', limits: { ...limits, timeMs: 700 }, signal }),
    ).rejects.toThrow('w.ts: The script did not give a workflow within 700 ms.')
    expect(processesIn(work)).toEqual([])
  })

  test('a script that waits ends with the server', async () => {
    await writeFile(join(work, 'w.ts'), 'await new Promise(() => setInterval(() => {}, 1000))\nexport {}')
    const module = new URL('evaluate.ts', import.meta.url).href
    const given = JSON.stringify({ workDirectory: work, script: 'w.ts', limits })
    const server = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { evaluateScript } from '${module}'
await evaluateScript({ ...${given}, signal: new AbortController().signal })`,
      ],
      { stdio: 'ignore' },
    )
    onTestFinished(() => void server.kill('SIGKILL'))
    const options = { timeout: 15_000, interval: 100 }
    await vi.waitFor(() => expect(processesIn(work)).toHaveLength(1), options)
    server.kill('SIGKILL')
    await vi.waitFor(() => expect(processesIn(work)).toEqual([]), options)
  })

  test('keeps the stack of what was thrown, without our own frames', async () => {
    const problem = await evaluate({
      'w.ts': "export {}\nfunction f() { throw new Error('no') }\nf()",
    }).catch((error: unknown) => error)
    expect((problem as { cause: Error }).cause.stack).toBe('Error: no\n    at f (w.ts:2:22)\n    at w.ts:3:1')
    const syntax = await evaluate({ 'w.mjs': 'export {}\nconst b = = 2' }, 'w.mjs').catch(
      (error: unknown) => error,
    )
    expect((syntax as { cause: Error }).cause.stack).toBe(
      "w.mjs:2\nconst b = = 2\n          ^\n\nSyntaxError: Unexpected token '='",
    )
  })

  test('ends with the reason of the signal when aborted', async () => {
    await writeFile(join(work, 'w.ts'), 'for (;;);')
    const ending = new AbortController()
    const evaluation = evaluateScript({ workDirectory: work, script: 'w.ts', limits, signal: ending.signal })
    setTimeout(() => ending.abort(new Error('enough')), 300)
    await expect(evaluation).rejects.toThrow('enough')
    expect(processesIn(work)).toEqual([])
  })
})

describe('a workflow that cannot run', () => {
  test('is told of with all its problems, one a line, with places', async () => {
    const script = `import { functionTask, number } from 'molehill'
const a = functionTask('a', { inputs: [number('x')], run: () => ({}) })
const b = functionTask('b', { inputs: [number('y')], run: () => ({}) })
export default a.next(b, functionTask('a', { run: () => ({}) }))`
    await expect(evaluate({ 'w.ts': script })).rejects.toMatchObject({
      code: 'workflow-invalid',
      message: `w.ts:4:26: Two capsules are named a, the other at line 2; use one and the same constant in both places, or give one of them another name with named().
w.ts:2:11: a needs x (number), which nothing before it gives; there is no value at all.
w.ts:3:11: b needs y (number), which nothing before it gives; there is no value at all.`,
    })
  })

  test('is told of when files are missing that it counts on', async () => {
    const script = `import { explore, file, files, functionTask } from 'molehill'
const model = functionTask('model', { inputs: [file('mask', { default: 'lib' })], run: () => ({}) })
export default explore(files(file('p'), { directory: 'pictures' }), model)`
    await expect(evaluate({ 'w.ts': script, 'lib/twice.ts': twice })).rejects.toMatchObject({
      code: 'workflow-invalid',
      message: `w.ts:3:16: There is no directory "pictures" in the work directory; the exploration of p needs it.
w.ts:2:15: There is no file "lib" in the work directory; the default of model's input mask needs it.`,
    })
  })
})

async function evaluate(files: Record<string, string>, script = 'w.ts'): Promise<Evaluation> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(work, path)), { recursive: true })
    await writeFile(join(work, path), text)
  }
  return evaluateScript({ workDirectory: work, script, limits, signal: new AbortController().signal })
}

/** Command lines of processes that work in a directory. */
function processesIn(directory: string): string[] {
  const listed = execFileSync('/bin/sh', ['-c', 'ls -l /proc/[0-9]*/cwd 2>/dev/null || :'], {
    encoding: 'utf8',
  })
  return listed.split('\n').filter((line) => line.includes(`-> ${directory}`))
}
