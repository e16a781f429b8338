import { z } from 'zod'
import { mismatch } from './context.ts'
import type {
  Plan,
  PlanAggregation,
  PlanCapsule,
  PlanDescription,
  PlanExploration,
  PlanHook,
  PlanOutput,
  PlanSampling,
  PlanTask,
  PlanValue,
} from './plan.ts'
import type { Json } from './value.ts'

const index = z.number().int().min(0)
const count = z.number().int().min(1)
// NaN and the infinities are numbers here.
const anyNumber = z.custom<number>((candidate) => typeof candidate === 'number', 'expected a number')
const json = z.custom<Json>(
  (candidate) => mismatch(candidate, { base: 'json', dimensions: 0 }) === undefined,
  'expected what JSON can say',
)
const location = z.strictObject({ file: z.string(), line: index, column: index }).nullable()
const placed = { scope: index.nullable(), location }

const environment = z.strictObject({
  name: z.string(),
  kind: z.string(),
  options: z.record(z.string(), z.unknown()),
})

const type = z.strictObject({
  base: z.enum(['number', 'integer', 'string', 'boolean', 'file', 'json']),
  dimensions: index,
})
const valueShape = { name: z.string(), type, default: json.exactOptional() }
const value = z.strictObject(valueShape) satisfies z.ZodType<PlanValue>
const template = z.strictObject({ texts: z.array(z.string()), values: z.array(z.string()) })

const output = z.strictObject({
  ...valueShape,
  reader: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('read-stdout') }),
    z.strictObject({ kind: z.literal('read-text'), path: z.string() }),
    z.strictObject({
      kind: z.literal('read-json'),
      path: z.string().nullable(),
      key: z.string().nullable(),
    }),
    z.strictObject({ kind: z.literal('keep-file'), path: z.string() }),
  ]),
}) satisfies z.ZodType<PlanOutput>

const task = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('function'),
    function: z.string(),
    inputs: z.array(value),
    outputs: z.array(value),
  }),
  z.strictObject({
    kind: z.literal('command'),
    command: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('shell'), template }),
      z.strictObject({ kind: z.literal('argv'), words: z.array(template).min(1) }),
    ]),
    env: z.record(z.string(), template),
    inputs: z.array(z.strictObject({ ...valueShape, path: z.string().nullable() })),
    outputs: z.array(output),
  }),
]) satisfies z.ZodType<PlanTask>

const names = z.array(z.string())
const hook = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('display-values'), values: names }),
  z.strictObject({ kind: z.literal('display-text'), template }),
  z.strictObject({ kind: z.literal('display-function'), function: z.string(), values: names }),
  z.strictObject({
    kind: z.literal('csv'),
    path: z.string(),
    values: names,
    header: z.boolean(),
    arrays: z.enum(['cell', 'rows']),
    append: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('json-lines'), path: z.string(), values: names, append: z.boolean() }),
  z.strictObject({ kind: z.literal('copy-file'), value: z.string(), to: template }),
]) satisfies z.ZodType<PlanHook>

const bound = z.union([anyNumber, z.strictObject({ value: z.string() })])
const factor = z.strictObject({ value: z.string(), integer: z.boolean(), low: bound, high: bound })
// So many, or the name of the value that says how many.
const size = z.union([count, z.strictObject({ value: z.string() })])
const design = { factors: z.array(factor), samples: size, seed: z.number().int() }
const sampling: z.ZodType<PlanSampling> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('range'), value: z.string(), from: bound, to: bound, step: bound }),
  z.strictObject({ kind: z.literal('list'), value: z.string(), items: z.array(json) }),
  z.strictObject({ kind: z.literal('elements'), value: z.string(), of: z.string() }),
  z.strictObject({
    kind: z.literal('cross'),
    get samplings() {
      return z.array(sampling)
    },
  }),
  z.strictObject({
    kind: z.literal('zip'),
    get samplings() {
      return z.array(sampling)
    },
  }),
  z.strictObject({ kind: z.literal('uniform'), ...design }),
  z.strictObject({ kind: z.literal('lhs'), ...design }),
  z.strictObject({ kind: z.literal('files'), value: z.string(), directory: z.string(), pattern: z.string() }),
  z.strictObject({ kind: z.literal('replicate'), value: z.string(), count: size, seed: z.number().int() }),
  z.strictObject({
    kind: z.literal('index'),
    value: z.string(),
    get sampling() {
      return sampling
    },
  }),
])

const capsule = z.strictObject({
  kind: z.literal('capsule'),
  name: z.string(),
  task,
  environments: z.array(index).min(1),
  groupSize: count,
  retry: z.strictObject({ limit: index, delayMs: z.number().min(0), factor: z.number().min(1) }),
  timeoutMs: z.number().positive().nullable(),
  tolerance: z.number().min(0).max(1),
  agree: z.string().exactOptional(),
  hooks: z.array(hook),
  ...placed,
}) satisfies z.ZodType<PlanCapsule>

const exploration = z.strictObject({
  kind: z.literal('explore'),
  sampling,
  ...placed,
}) satisfies z.ZodType<PlanExploration>

const aggregation = z.strictObject({
  kind: z.literal('aggregate'),
  exploration: index,
  gathers: names,
  keeps: names,
  ...placed,
}) satisfies z.ZodType<PlanAggregation>

const described = { title: z.string(), description: z.string() }

const description = z.strictObject({
  ...described,
  category: z.string(),
  inputs: z.array(
    z.strictObject({
      ...valueShape,
      ...described,
      category: z.string(),
      isMandatory: z.boolean(),
      isAdvanced: z.boolean(),
      formats: names,
      values: z.array(json).exactOptional(),
      minimum: anyNumber.exactOptional(),
      maximum: anyNumber.exactOptional(),
    }),
  ),
  outputs: z.array(z.strictObject({ ...described, path: z.string(), role: z.string() })),
}) satisfies z.ZodType<PlanDescription>

/**
 * Checks that data from another process or from the store is a plan. Knows the shape only: `compile` has checked
 * that values flow. Keys that a plan does not have are refused, so that nothing else rides along.
 */
export const planSchema = z
  .strictObject({
    version: z.literal(1),
    name: z.string(),
    script: z.string(),
    steps: z.array(z.discriminatedUnion('kind', [capsule, exploration, aggregation])).max(100_000),
    transitions: z
      .array(z.strictObject({ from: index, to: index, carries: z.array(z.string()) }))
      .max(1_000_000),
    environments: z.array(environment).min(1),
    description: description.exactOptional(),
    given: z.record(z.string(), json).exactOptional(),
  })
  .superRefine((plan, context) => {
    for (const problem of strayIndices(plan)) context.addIssue({ code: 'custom', message: problem })
  }) satisfies z.ZodType<Plan>

function* strayIndices(plan: Plan): Generator<string> {
  const isExploration = (at: number): boolean => plan.steps[at]?.kind === 'explore'
  for (const { from, to } of plan.transitions)
    if (from >= to || to >= plan.steps.length)
      yield `The transition from ${from} to ${to} does not lead to a later step.`
  for (const [at, step] of plan.steps.entries()) {
    if (step.scope !== null && !isExploration(step.scope))
      yield `Step ${at} lies inside of ${step.scope}, which is no exploration.`
    if (step.kind === 'aggregate' && !isExploration(step.exploration))
      yield `Step ${at} ends ${step.exploration}, which is no exploration.`
    if (step.kind !== 'capsule') continue
    const stray = step.environments.find((each) => each >= plan.environments.length)
    if (stray !== undefined) yield `Step ${at} is on environment ${stray}, which is not there.`
  }
}
