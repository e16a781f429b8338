import { z } from 'zod'
import type { ExecutionState, ExecutionSummary, JobCounts } from '../../engine/contract.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { jsonRoute, type Route } from '../route.ts'
import { createFaultPositions } from './fault-positions.ts'
import { executionParameters } from './parameters.ts'

const countsSchema = z.object({ ready: z.int(), running: z.int(), completed: z.int(), failed: z.int() })

const stateSchema = z.object({
  state: z.enum(['running', 'finished', 'failed']),
  error: z
    .object({ message: z.string(), stackTrace: z.string().optional() })
    .optional()
    .meta({ description: 'Why it failed.' }),
  ...countsSchema.shape,
  capsules: z
    .array(z.record(z.string(), countsSchema))
    .meta({ description: 'Workflow jobs by capsule: objects of one key each.' }),
  environments: z
    .array(
      z.object({
        name: z.string(),
        submitted: z.int(),
        running: z.int(),
        done: z.int(),
        failed: z.int(),
        ready: z.int(),
        completed: z.int().meta({ description: 'The same as `done`.' }),
        errors: z
          .array(z.object({ message: z.string(), stackTrace: z.string(), level: z.string() }))
          .meta({ description: 'Since this token asked last.' }),
      }),
    )
    .meta({
      description: 'Environment jobs, of which one may hold a group of workflow jobs. `local` comes last.',
    }),
})

const outputParameters = z.object({
  ...executionParameters.shape,
  running: z
    .stringbool({ error: 'expected true or false' })
    .optional()
    .meta({ description: 'Whether to ask environments what jobs print that run; true without it.' }),
})

const outputSchema = z.object({
  output: z.string(),
  running: z.array(z.object({ job: z.int(), subject: z.string(), text: z.string() })).meta({
    description: 'The end of what jobs have printed so far that run now: of a few that were begun first.',
  }),
})

const summarySchema = z.object({
  id: z.string(),
  owner: z
    .string()
    .optional()
    .meta({ description: "The user whose it is; absent where it is the operator's." }),
  name: z.string(),
  script: z.string(),
  state: z.enum(['running', 'finished', 'failed']),
  cancelled: z.boolean(),
  startedAt: z.int().meta({ description: 'Milliseconds since 1970.' }),
  endedAt: z.int().optional(),
})

/** What tells how executions stand. */
export function stateRoutes(executions: OwnExecutions): readonly Route[] {
  const positions = createFaultPositions()
  const shared = {
    method: 'POST',
    access: 'token',
    parameters: executionParameters,
    problems: ['parameter-missing', 'execution-unknown'],
  } as const
  return [
    jsonRoute({
      ...shared,
      path: '/state',
      summary: 'Where an execution stands, also after its end.',
      answer: { status: 200, description: 'The state.', schema: stateSchema },
      handle({ parameters, principal }) {
        const state = executionsOf(executions, principal).state(parameters.id)
        return describeState(state, positions.takeNew(principal.id, state))
      },
    }),
    jsonRoute({
      ...shared,
      path: '/output',
      summary: 'What the workflow has written so far, and what some of its running jobs print.',
      parameters: outputParameters,
      problems: ['parameter-missing', 'parameter-invalid', 'execution-unknown'],
      answer: { status: 200, description: 'The whole text.', schema: outputSchema },
      handle: async ({ parameters, principal }) => {
        const own = executionsOf(executions, principal)
        // In this order a job that ends meanwhile is told twice rather than not at all.
        const running = parameters.running === false ? [] : await own.printing(parameters.id)
        return { output: await own.output(parameters.id), running: [...running] }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/list',
      summary: 'All executions; those of a user where one asks.',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'The executions.', schema: z.array(summarySchema) },
      handle: ({ principal }) => executionsOf(executions, principal).list().map(describeSummary),
    }),
  ]
}

function describeSummary({
  id,
  owner,
  name,
  script,
  state,
  isCancelled,
  startedAt,
  endedAt,
}: ExecutionSummary): z.input<typeof summarySchema> {
  return {
    id,
    ...(owner !== '' && { owner }),
    name,
    script,
    state,
    cancelled: isCancelled,
    startedAt,
    endedAt: endedAt ?? undefined,
  }
}

function describeState(
  state: ExecutionState,
  newFaults: ReturnType<ReturnType<typeof createFaultPositions>['takeNew']>,
): z.input<typeof stateSchema> {
  return {
    ...describeError(state),
    ...describeCounts(state.counts),
    capsules: state.capsules.map((capsule) => ({ [capsule.name]: describeCounts(capsule) })),
    environments: state.environments.map((environment, index) => ({
      name: environment.name,
      submitted: environment.submitted,
      running: environment.running,
      done: environment.done,
      failed: environment.failed,
      ready: environment.ready,
      completed: environment.done,
      errors: (newFaults[index] ?? []).map(({ message, stackTrace, level }) => ({
        message,
        stackTrace,
        level,
      })),
    })),
    state: state.state,
  }
}

function describeError({ state, error, isCancelled }: ExecutionState) {
  if (state !== 'failed') return {}
  if (isCancelled && !error?.message.includes('cancelled'))
    return { error: { ...error, message: 'The execution was cancelled.' } }
  return { error: error ?? { message: 'The execution failed.' } }
}

function describeCounts({ ready, running, completed, failed }: JobCounts) {
  return { ready, running, completed, failed }
}
