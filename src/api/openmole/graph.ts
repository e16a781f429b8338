import { z } from 'zod'
import type { Plan, PlanStep, PlanValue } from '../../workflow/plan.ts'
import type { ValueType } from '../../workflow/value.ts'

const valueSchema = z.object({
  name: z.string(),
  type: z.string().meta({ description: 'As in `number`, `file[]`, `string[][]`.' }),
})

const locationSchema = z.object({ file: z.string(), line: z.int(), column: z.int() }).optional()

const stepSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('capsule'),
    name: z.string(),
    task: z.enum(['function', 'command']),
    inputs: z.array(valueSchema),
    outputs: z.array(valueSchema),
    environment: z.string(),
    groupSize: z.int().meta({ description: 'How many jobs the environment gets as one.' }),
    location: locationSchema,
  }),
  z.object({ kind: z.literal('explore'), sampling: z.string(), location: locationSchema }),
  z.object({
    kind: z.literal('aggregate'),
    exploration: z.int().meta({ description: 'The step that it ends.' }),
    location: locationSchema,
  }),
])

/** A workflow as a graph. */
export const graphSchema = z.object({
  name: z.string(),
  script: z.string(),
  capsules: z.array(z.string()).meta({ description: 'The names of the capsules.' }),
  steps: z
    .array(stepSchema)
    .meta({ description: 'In an order in which each comes after all that lead to it.' }),
  transitions: z
    .array(z.object({ from: z.int(), to: z.int(), carries: z.array(z.string()) }))
    .meta({ description: 'Between steps, which are counted from 0.' }),
  environments: z.array(z.object({ name: z.string(), kind: z.string() })),
})

export type Graph = z.input<typeof graphSchema>

export function describePlan(plan: Plan): Graph {
  return {
    name: plan.name,
    script: plan.script,
    capsules: plan.steps.flatMap((step) => (step.kind === 'capsule' ? [step.name] : [])),
    steps: plan.steps.map((step) => describeStep(step, plan)),
    transitions: plan.transitions.map(({ from, to, carries }) => ({ from, to, carries: [...carries] })),
    environments: plan.environments.map(({ name, kind }) => ({ name, kind })),
  }
}

function describeStep(step: PlanStep, { environments }: Plan): Graph['steps'][number] {
  const location = step.location ?? undefined
  switch (step.kind) {
    case 'capsule':
      return {
        kind: 'capsule',
        name: step.name,
        task: step.task.kind,
        inputs: step.task.inputs.map(describeValue),
        outputs: step.task.outputs.map(describeValue),
        environment: step.environments.map((index) => environments[index]?.name).join(', '),
        groupSize: step.groupSize,
        location,
      }
    case 'explore':
      return { kind: 'explore', sampling: step.sampling.kind, location }
    case 'aggregate':
      return { kind: 'aggregate', exploration: step.exploration, location }
  }
}

function describeValue({ name, type }: PlanValue) {
  return { name, type: describeType(type) }
}

function describeType({ base, dimensions }: ValueType): string {
  return base + '[]'.repeat(dimensions)
}
