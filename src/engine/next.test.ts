import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  explore,
  functionTask,
  integer,
  list,
  parallel,
  range,
  type Capsule,
  type Value,
  type Workflow,
} from '../molehill.ts'
import { compile } from '../workflow/compile.ts'
import type { Context } from '../workflow/context.ts'
import { openSamples } from '../workflow/expand.ts'
import type { Json } from '../workflow/value.ts'
import { makeGraph } from './graph.ts'
import { next } from './next.ts'
import { initialState, waitingSamples, type Activation, type Effect, type Exploration } from './state.ts'

const [a, b, c, d, s] = [integer('a'), integer('b'), integer('c'), integer('d'), integer('s')]
const task = (name: string, inputs: readonly Value[], ...outputs: readonly Value[]): Capsule =>
  functionTask(name, { inputs, outputs, run: () => ({}) })

/** Shapes with everything that can meet: joins inside samples, two aggregations, nesting, empty samplings. */
const shapes: Record<string, () => Workflow> = {
  line: () =>
    task('one', [], a)
      .next(task('two', [a], b))
      .next(task('three', [a, b])),
  diamond: () =>
    task('top', [], a)
      .next(task('left', [a], b), task('right', [a], c))
      .next(task('end', [a, b, c])),
  fan: () => explore(range(a, { from: 1, to: 17 }), task('model', [a], b)).aggregate(task('sum', [b.array])),
  'fan with a diamond inside': () => {
    const body = task('in', [a], s)
      .next(task('left', [s], b), task('right', [s], c))
      .next(task('out', [b, c], d))
    return explore(range(a, { from: 1, to: 5 }), body).aggregate(task('sum', [d.array, a.array]))
  },
  nested: () =>
    task('begin', [], s)
      .explore(
        list(a, [1, 2, 3]),
        explore(range(b, { from: 1, to: 4 }), task('model', [a, b], c)).aggregate(
          task('inner', [c.array, a, s], d),
        ),
      )
      .aggregate(task('outer', [d.array, s])),
  'nothing to explore': () =>
    explore(range(a, { from: 1, to: 0 }), task('model', [a], b)).aggregate(task('sum', [b.array])),
  'two aggregations of one exploration': () => {
    const left = task('left', [a], b)
    const right = task('right', [a], c)
    const fan = explore(range(a, { from: 1, to: 6 }), left, right)
    return fan.aggregate(task('both', [b.array, c.array]))
  },
  'branches that end by themselves': () =>
    parallel(task('x', [], a), explore(range(b, { from: 1, to: 3 }), task('y', [b]))),
}

interface Run {
  readonly completed: Map<string, Context>
  readonly failed: Set<string>
  readonly settled: Map<string, number>
  readonly ends: string[]
}

/** Plays an execution out: takes whatever could happen next in an order that `random` decides. */
function play(
  workflow: Workflow,
  random: () => number,
  isFailing: (key: string) => boolean = () => false,
): Run {
  const { plan } = compile(workflow, { script: 'workflow.ts', directoryUrl: 'file:///work/' })
  const graph = makeGraph(plan)
  const state = initialState(graph)
  const run: Run = { completed: new Map(), failed: new Set(), settled: new Map(), ends: [] }
  const gathered = new Map<Exploration, Map<number, ReadonlyMap<number, Context>>>()
  const pending: (() => readonly Effect[])[] = []
  const seen = new Set<string>()

  const handle = (effects: readonly Effect[]): void => {
    for (const effect of effects)
      if (effect.kind === 'activate') pending.push(() => work(effect.activation))
      else if (effect.kind === 'open') pending.push(() => open(effect.exploration))
      else if (effect.kind === 'gather') pending.push(() => gather(effect.aggregation, effect.exploration))
      else if (effect.kind === 'end') run.ends.push(effect.outcome)
      else {
        const key = `${effect.exploration.step}:${effect.exploration.frame.ticket}:${effect.sample}`
        run.settled.set(key, (run.settled.get(key) ?? 0) + 1)
        const samples = gathered.get(effect.exploration) ?? new Map<number, ReadonlyMap<number, Context>>()
        gathered.set(effect.exploration, samples.set(effect.sample, effect.contributions))
      }
  }
  const work = (activation: Activation): readonly Effect[] => {
    const capsule = graph.steps[activation.step]
    if (capsule?.kind !== 'capsule') throw new Error('not a capsule')
    const key = `${capsule.name}[${activation.frame.ticket}]`
    expect(seen, `${key} was activated twice`).not.toContain(key)
    seen.add(key)
    for (const { name } of capsule.task.inputs)
      expect(activation.context, `${key} did not receive ${name}`).toHaveProperty(name)
    if (isFailing(key)) {
      run.failed.add(key)
      return next(state, { kind: 'failed', activation })
    }
    run.completed.set(key, activation.context)
    const outputs = Object.fromEntries(capsule.task.outputs.map(({ name }) => [name, key as Json]))
    return next(state, { kind: 'completed', activation, outputs })
  }
  const open = (exploration: Exploration): readonly Effect[] => {
    const step = graph.steps[exploration.step]
    if (step?.kind !== 'explore') throw new Error('not an exploration')
    return next(state, {
      kind: 'opened',
      exploration,
      samples: openSamples(step.sampling, exploration.context),
    })
  }
  const gather = (aggregation: number, exploration: Exploration): readonly Effect[] => {
    const step = graph.steps[aggregation]
    const names = step?.kind === 'aggregate' ? step.gathers : []
    const contexts: Context[] = []
    for (const [, contributions] of [...(gathered.get(exploration) ?? [])].sort(([x], [y]) => x - y)) {
      const context = contributions.get(aggregation)
      if (context !== undefined) contexts.push(context)
    }
    const arrays = Object.fromEntries(
      names.map((name) => [name, contexts.map((context) => context[name] ?? null)]),
    )
    return next(state, { kind: 'gathered', aggregation, exploration, arrays })
  }

  handle(next(state, { kind: 'started' }))
  for (let turn = 0; turn < 100_000 && run.ends.length === 0; turn += 1) {
    const open = [...state.explorations].filter((exploration) => waitingSamples(exploration) > 0)
    const choices = pending.length + open.length
    expect(choices, 'nothing can happen any more, and the execution has not ended').toBeGreaterThan(0)
    const choice = Math.floor(random() * choices)
    const exploration = open[choice - pending.length]
    if (exploration !== undefined) handle(next(state, { kind: 'wanted', exploration }))
    else handle(pending.splice(choice, 1)[0]?.() ?? [])
  }
  return run
}

/** A small generator of numbers in [0, 1) that a seed determines (mulberry32, public domain). */
function makeRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

describe('an execution, whatever the order in which things happen', () => {
  for (const [name, shape] of Object.entries(shapes))
    it(`completes every job once, settles every sample once and ends once: ${name}`, () => {
      const orderly = play(shape(), () => 0)
      expect(orderly.ends).toEqual(['completed'])
      fc.assert(
        fc.property(fc.integer(), (seed) => {
          const run = play(shape(), makeRandom(seed))
          expect(run.ends).toEqual(['completed'])
          expect(inOrder(run.completed)).toEqual(inOrder(orderly.completed))
          expect(inOrder(run.settled)).toEqual(inOrder(orderly.settled))
          for (const times of run.settled.values()) expect(times).toBe(1)
        }),
        { numRuns: 100 },
      )
    })

  for (const [name, shape] of Object.entries(shapes))
    it(`ends whichever jobs fail, tolerated or not: ${name}`, () => {
      fc.assert(
        fc.property(fc.integer(), fc.integer({ min: 2, max: 5 }), fc.boolean(), (seed, every, isTolerant) => {
          const isFailing = (key: string): boolean => (key.length * 31 + seed) % every === 0
          const run = play(isTolerant ? tolerant(shape()) : shape(), makeRandom(seed), isFailing)
          expect(run.ends).toEqual([run.failed.size > 0 && !isTolerant ? 'failed' : 'completed'])
        }),
        { numRuns: 100 },
      )
    })
})

/** The same workflow with every capsule tolerating all failures. */
function tolerant(workflow: Workflow): Workflow {
  for (const step of workflow.graph.steps)
    if (step.kind === 'capsule') Object.assign(step.placement, { tolerance: 1 })
  return workflow
}

function inOrder<T>(entries: ReadonlyMap<string, T>): [string, T][] {
  return [...entries].sort(([x], [y]) => (x < y ? -1 : 1))
}
