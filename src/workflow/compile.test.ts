import { describe, expect, test } from 'vitest'
import {
  boolean,
  Capsule,
  commandTask,
  copyFile,
  csv,
  display,
  explore,
  file,
  functionTask,
  integer,
  keepFile,
  list,
  number,
  parallel,
  range,
  readStdout,
  shell,
  string,
  text,
  type Workflow,
} from '../molehill.ts'
import { compile } from './compile.ts'
import type { PlanAggregation, PlanStep } from './plan.ts'
import { planSchema } from './plan-schema.ts'
import type { Value } from './value.ts'
import { WorkflowError } from './workflow-error.ts'

const x = number('x')
const y = number('y')
const z = number('z')
const seed = integer('seed')

describe('a plan', () => {
  test('holds capsules, transitions and functions named by where they stand', () => {
    const model = step('model', [x], [y]).hook(display(text`${y}`), csv('out.csv'))
    const { plan, functions } = compileIt(explore(range(x, { from: 0, to: 2 }), model))
    expect(plan).toMatchObject({
      version: 1,
      name: 'w',
      script: 'folder/w.ts',
      transitions: [{ from: 0, to: 1, carries: ['x'] }],
      environments: [{ name: 'local', kind: 'local', options: {} }],
    })
    expect(plan.steps[1]).toMatchObject({
      kind: 'capsule',
      name: 'model',
      scope: 0,
      task: { kind: 'function', function: 'model.run' },
      hooks: [{ kind: 'display-text' }, { kind: 'csv', path: 'out.csv', values: ['x', 'y'] }],
    })
    expect([...functions.keys()]).toEqual(['model.run'])
    expect(planSchema.parse(plan)).toEqual(plan)
  })

  test('names the function of a display by its position among the hooks', () => {
    const model = step('model', [], [y]).hook(
      csv('a.csv'),
      display(() => 'text'),
    )
    expect([...compileIt(model).functions.keys()]).toEqual(['model.run', 'model.hooks[1]'])
  })

  test('calls what says when results agree with both of them', () => {
    const agreeing = step('model', [], [y]).agree((one: number, other: number) => one === other)
    const { plan, functions } = compileIt(agreeing)
    expect(planSchema.parse(plan).steps[0]).toMatchObject({ agree: 'model.agree' })
    const agree = functions.get('model.agree') as (results: object) => unknown
    expect([agree({ one: 1, other: 1 }), agree({ one: 1, other: 2 })]).toEqual([true, false])
  })

  test('collects what a command line uses as its inputs', () => {
    const book = file('book')
    const count = commandTask('count', {
      command: shell`wc -w < ${book}`,
      outputs: [readStdout(y), keepFile(file('copy'), 'copy.txt')],
    }).hook(copyFile(book, text`books/${y}.txt`))
    const { plan } = compileIt(
      functionTask('first', { outputs: [book], run: () => ({ book: 'b' }) }).next(count),
    )
    expect(plan.steps[1]).toMatchObject({
      task: { kind: 'command', inputs: [{ name: 'book', path: null }], outputs: [{ name: 'y' }, {}] },
    })
    expect(planSchema.parse(plan)).toEqual(plan)
  })

  test('gives one entry to environments that are alike and finds numbered names again', () => {
    const cluster = (name?: string): { kind: string; options: { host: string }; name?: string } => ({
      kind: 'slurm',
      options: { host: 'a' },
      ...(name !== undefined && { name }),
    })
    const { plan } = compileIt(
      parallel(
        step('a', [], [x]).on(cluster('cluster-2')),
        step('b', [], [y]).on(cluster('cluster-2')),
        step('c', [], [z]).on({ kind: 'slurm', options: { host: 'b' }, name: 'cluster-2' }),
        step('d', [], [seed]),
      ),
    )
    expect(plan.environments.map(({ name }) => name)).toEqual(['cluster-2', 'cluster-2-2', 'local'])
    expect(plan.steps.map((each) => each.kind === 'capsule' && each.environments)).toEqual([
      [0],
      [0],
      [1],
      [2],
    ])
  })

  test('refers to named environments by name, which no other environment takes from them', () => {
    const { plan } = compileIt(
      parallel(
        step('a', [], [x]).on({ kind: 'slurm', options: {}, name: 'hub' }),
        step('b', [], [y]).on('hub', 'cluster'),
        step('c', [], [z]).on('cluster', 'local'),
        step('d', [], [seed]).on('hub'),
      ),
    )
    expect(plan.environments).toEqual([
      { name: 'hub-2', kind: 'slurm', options: {} },
      { name: 'hub', kind: 'named', options: {} },
      { name: 'cluster', kind: 'named', options: {} },
      { name: 'local', kind: 'local', options: {} },
    ])
    expect(plan.steps.map((each) => each.kind === 'capsule' && each.environments)).toEqual([
      [0],
      [1, 2],
      [2, 3],
      [1],
    ])
    expect(planSchema.parse(plan)).toEqual(plan)
  })
})

describe('the flow of values', () => {
  test('tells which input nothing gives', () => {
    expect(problemsOf(step('first', [], [x]).next(step('model', [x, z], [y])))).toEqual([
      'model needs z (number), which nothing before it gives; there is x.',
    ])
  })

  test('accepts a missing input with a default', () => {
    expect(problemsOf(step('model', [number('x', { default: 1 })], [y]))).toEqual([])
  })

  test('tells of a type that does not fit, and lets an integer pass as a number', () => {
    expect(problemsOf(step('first', [], [string('x')]).next(step('model', [x], [y])))).toEqual([
      'model takes x (number), but first gives x as string.',
    ])
    expect(problemsOf(step('first', [], [integer('x')]).next(step('model', [x], [y])))).toEqual([])
    expect(problemsOf(step('first', [], [x]).next(step('model', [integer('x')], [y])))).toHaveLength(1)
  })

  test('wants the array of a value that was aggregated', () => {
    const sampled = explore(range(x, { from: 0, to: 2 }), step('model', [x], [y]))
    expect(problemsOf(sampled.aggregate(step('mean', [y.array], [z])))).toEqual([])
    expect(problemsOf(sampled.aggregate(step('mean', [y], [z])))).toEqual([
      'mean takes y (number), but the aggregation gives y as number[].',
    ])
  })

  test('tells the circle in which a workflow runs', () => {
    const a = step('a', [], [])
    const b = step('b', [], [])
    expect(problemsOf(a.next(b).next(a))).toEqual([
      expect.stringMatching(/runs in a circle: (a → b → a|b → a → b)\.$/),
    ])
    expect(problemsOf(a.next(a))).toEqual(['The workflow runs in a circle: a → a.'])
  })

  test('tells of two capsules with one name', () => {
    expect(problemsOf(step('a', [], []).next(step('a', [], [])))).toEqual([
      expect.stringContaining('Two capsules are named a'),
    ])
    const a = step('a', [], [])
    expect(problemsOf(a.next(a.named('b')))).toEqual([])
  })

  test('tells of an aggregation without an exploration', () => {
    expect(problemsOf(step('a', [], [x]).aggregate(step('b', [x.array], [])))).toContain(
      'There is no exploration here to aggregate; use next instead.',
    )
  })

  test('tells of a value that two branches give to the step that joins them', () => {
    const branches = step('first', [], [x]).next(step('left', [x], [y]), step('right', [x], [y]))
    expect(problemsOf(branches.next(step('join', [y], [z])))).toEqual([
      'join receives y from left and from right; give one of them another name.',
    ])
    expect(problemsOf(branches.next(step('join', [x], [z])))).toEqual([])
  })

  test('tells of branches that do not lie in the same exploration', () => {
    const workflow = step('first', [], [z]).next(
      explore(range(x, { from: 0, to: 1 }), step('left', [x], [])),
      step('right', [], []),
    )
    expect(problemsOf(workflow.next(step('join', [], [])))).toEqual([
      'join follows left and right, which do not lie inside the same exploration; aggregate first.',
    ])
  })

  test('gathers, keeps and carries through nested explorations', () => {
    const workflow = step('first', [], [z]).explore(
      range(x, { from: 0, to: 2 }),
      step('outer', [x], [string('label')])
        .explore(list(seed, [1, 2]), step('model', [x, seed], [y]))
        .aggregate(step('mean', [y.array, x, z, string('label')], [number('mean')])),
    )
    const { plan } = compileIt(workflow.aggregate(step('all', [number('mean').array, z, x.array], [])))
    const names = plan.steps.map((each) => (each.kind === 'capsule' ? each.name : each.kind))
    expect(names).toEqual([
      'first',
      'explore',
      'outer',
      'explore',
      'model',
      'aggregate',
      'mean',
      'aggregate',
      'all',
    ])
    expect(plan.steps.map(({ scope }) => scope)).toEqual([null, null, 1, 1, 3, 1, 1, null, null])
    expect(aggregation(plan.steps[5])).toMatchObject({ exploration: 3, gathers: ['y'] })
    expect(aggregation(plan.steps[5]).keeps.toSorted()).toEqual(['label', 'x', 'z'])
    expect(aggregation(plan.steps[7])).toMatchObject({ exploration: 1, keeps: ['z'] })
    expect(aggregation(plan.steps[7]).gathers.toSorted()).toEqual(['mean', 'x'])
    const carries = Object.fromEntries(
      plan.transitions.map(({ from, to, carries }) => [`${names[from]}→${names[to]}`, carries.toSorted()]),
    )
    expect(carries['explore→model']).toEqual(['seed', 'x'])
    expect(carries['model→aggregate']).toEqual(['y'])
    expect(carries['outer→explore']).toEqual(['label', 'x', 'z'])
    expect(carries['mean→aggregate']).toEqual(['mean', 'x'])
    expect(planSchema.parse(plan)).toEqual(plan)
  })
})

describe('settings', () => {
  test('are checked all at once', () => {
    const model = step('model', [], [y]).by(0).timeoutMs(-1).tolerate({ share: 2 }).retry({ limit: -1 })
    expect(problemsOf(model)).toHaveLength(4)
  })

  test('tell of defaults and items of the wrong type', () => {
    // What a script in JavaScript may pass.
    const wrong = number('x', { default: JSON.parse('"one"') as number })
    expect(problemsOf(step('model', [wrong], [y]))).toEqual([
      'The default of x is expected to be a number, got "one".',
    ])
    const items = JSON.parse('[true, 3]') as boolean[]
    expect(problemsOf(explore(list(boolean('flag'), items), step('model', [], [y])))).toEqual([
      'Item 1 of the list for flag is expected to be true or false, got 3.',
    ])
  })

  test('tell of an exploration that leads nowhere new and of a path that leaves the directory', () => {
    expect(problemsOf(step('model', [], [y]).hook(csv('../out.csv')))).toEqual([
      expect.stringContaining('"../out.csv"'),
    ])
    expect(() => explore(range(x, { from: 0, to: 1 }))).toThrow('Expected one or more capsules')
  })
})

function step(name: string, inputs: readonly Value[], outputs: readonly Value[]): Capsule {
  return functionTask(name, { inputs, outputs, run: () => ({}) })
}

function compileIt(workflow: Workflow): ReturnType<typeof compile> {
  return compile(workflow, { script: 'folder/w.ts', directoryUrl: 'file:///work/' })
}

function problemsOf(workflow: Workflow): string[] {
  try {
    compileIt(workflow)
    return []
  } catch (error) {
    if (error instanceof WorkflowError) return error.problems.map(({ message }) => message)
    throw error
  }
}

function aggregation(step: PlanStep | undefined): PlanAggregation {
  if (step?.kind !== 'aggregate') throw new Error(`Expected an aggregation, got ${step?.kind}.`)
  return step
}
