/**
 * What must not compile: `tsc` checks this file, and complains where an expected error does not come. Nothing runs it.
 */
import { expectTypeOf } from 'vitest'
import { functionTask, integer, json, list, number, range, string } from 'molehill'
import { planSchema } from '../../src/workflow/plan-schema.ts'
import type { Plan, PlanSampling } from '../../src/workflow/plan.ts'
import type { Json } from '../../src/workflow/value.ts'
import type { z } from 'zod'

const x = number('x')
const count = integer('count')
const label = string('label')
const y = number('y')

export const right = functionTask('right', {
  inputs: [x, label.array],
  outputs: [y],
  run: ({ x, label }, job) => {
    expectTypeOf(x).toEqualTypeOf<number>()
    expectTypeOf(label).toEqualTypeOf<string[]>()
    expectTypeOf(job.directory).toEqualTypeOf<string>()
    return { y: x + label.length }
  },
})

export const async = functionTask('async', { inputs: [x], outputs: [y], run: async ({ x }) => ({ y: x }) })

export const misnamedInput = functionTask('misnamed-input', {
  inputs: [x],
  outputs: [y],
  // @ts-expect-error -- there is no input z
  run: ({ z }) => ({ y: Number(z) }),
})

export const misnamedOutput = functionTask('misnamed-output', {
  inputs: [x],
  outputs: [y],
  // @ts-expect-error -- the output is y, not z
  run: ({ x }) => ({ z: x }),
})

export const wrongOutputType = functionTask('wrong-output-type', {
  inputs: [x],
  outputs: [y],
  // @ts-expect-error -- y is a number
  run: ({ x }) => ({ y: String(x) }),
})

export const missingOutput = functionTask('missing-output', {
  inputs: [x],
  outputs: [x, y],
  // @ts-expect-error -- y is missing
  run: ({ x }) => ({ x }),
})

interface Fit {
  readonly slope: number
}
export const typedJson = functionTask('typed-json', {
  inputs: [json('fit').as<Fit>()],
  outputs: [y],
  run: ({ fit }) => ({ y: fit.slope }),
})

export const samplings = [
  range(count, { from: 0, to: 3 }),
  list(label, ['a', 'b']),
  // @ts-expect-error -- items are texts
  list(label, [1, 2]),
  // @ts-expect-error -- a range counts numbers
  range(label, { from: 0, to: 3 }),
]

// @ts-expect-error -- the default of a number is a number
number('z', { default: '1' })

// What the schema lets through is a plan (it says so itself), and it lets every plan through.
type Frozen<T> = [PlanSampling] extends [T]
  ? T
  : [Json] extends [T]
    ? T
    : T extends object
      ? { readonly [Key in keyof T]: Frozen<T[Key]> }
      : T
export const letsEveryPlanThrough = (plan: Plan): Frozen<z.infer<typeof planSchema>> => plan
