import { describe, expect, test } from 'vitest'
import { explore, functionTask, list, number } from '../molehill.ts'
import { compile } from './compile.ts'
import { planSchema } from './plan-schema.ts'

const x = number('x')
const { plan } = compile(
  explore(list(x, [1, Number.NaN]), functionTask('model', { inputs: [x], run: () => ({}) })),
  { script: 'w.ts', directoryUrl: 'file:///work/' },
)

describe('the schema of a plan', () => {
  test('takes a compiled plan, numbers that JSON lacks included', () => {
    expect(planSchema.parse(plan)).toEqual(plan)
  })

  test('refuses what a plan does not have', () => {
    expect(planSchema.safeParse({ ...plan, more: 1 }).success).toBe(false)
    expect(planSchema.safeParse({ ...plan, version: 2 }).success).toBe(false)
    expect(planSchema.safeParse({ ...plan, environments: [] }).success).toBe(false)
  })

  test.each([
    ['a transition backwards', { transitions: [{ from: 1, to: 0, carries: [] }] }],
    ['a transition to nowhere', { transitions: [{ from: 0, to: 2, carries: [] }] }],
    ['a scope that is no exploration', { steps: plan.steps.map((step) => ({ ...step, scope: 1 })) }],
    [
      'an environment that is not there',
      { steps: plan.steps.map((step) => ({ ...step, environments: [5] })) },
    ],
  ])('refuses %s', (_, change) => {
    expect(planSchema.safeParse({ ...plan, ...change }).success).toBe(false)
  })
})
