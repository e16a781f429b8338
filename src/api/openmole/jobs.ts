import { z } from 'zod'
import type { JobQuery, JobRow } from '../../engine/contract.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { jsonRoute, type Route } from '../route.ts'
import { executionParameters } from './parameters.ts'

const jobStates = ['ready', 'submitted', 'running', 'completed', 'failed', 'cancelled'] as const

const parameters = z.object({
  ...executionParameters.shape,
  capsule: z.string().optional().meta({ description: 'Only jobs of this capsule.' }),
  state: z.enum(jobStates).optional().meta({ description: 'Only jobs in this state.' }),
  after: z.coerce.number().int().min(0).optional().meta({ description: 'The `next` of the page before.' }),
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: 'Most jobs on a page.' }),
})

const instant = z.int().optional().meta({ description: 'Milliseconds since 1970.' })

const jobSchema = z.object({
  id: z.int(),
  capsule: z.string(),
  ticket: z.string().meta({
    description:
      'Sample numbers of the explorations that the job lies inside of, outermost first, joined by dots.',
  }),
  state: z.enum(jobStates),
  attempts: z.int(),
  environment: z.string(),
  exitCode: z.int().optional(),
  readyAt: instant,
  startedAt: instant,
  endedAt: instant,
  error: z.string().optional(),
})

export function jobRoutes(executions: OwnExecutions): readonly Route[] {
  return [
    jsonRoute({
      method: 'POST',
      path: '/jobs',
      summary: 'The jobs of an execution, a page at a time.',
      access: 'token',
      parameters,
      problems: ['parameter-missing', 'parameter-invalid', 'execution-unknown'],
      answer: {
        status: 200,
        description: 'One page. There are more when it has a `next`.',
        schema: z.object({ jobs: z.array(jobSchema), next: z.int().optional() }),
      },
      handle({ parameters: { id, ...query }, principal }) {
        const { jobs, next } = executionsOf(executions, principal).jobs(id, withoutUndefined(query))
        return { jobs: jobs.map(describeJob), next: next ?? undefined }
      },
    }),
  ]
}

function withoutUndefined({
  capsule,
  state,
  after,
  limit,
}: Omit<z.output<typeof parameters>, 'id'>): JobQuery {
  return {
    limit,
    ...(capsule === undefined ? {} : { capsule }),
    ...(state === undefined ? {} : { state }),
    ...(after === undefined ? {} : { after }),
  }
}

function describeJob(job: JobRow): z.input<typeof jobSchema> {
  return {
    ...job,
    exitCode: job.exitCode ?? undefined,
    readyAt: job.readyAt ?? undefined,
    startedAt: job.startedAt ?? undefined,
    endedAt: job.endedAt ?? undefined,
    error: job.error ?? undefined,
  }
}
