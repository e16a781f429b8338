import { z } from 'zod'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { jsonRoute, type Route } from '../route.ts'
import { executionParameters } from './parameters.ts'

const parameters = z.object({
  ...executionParameters.shape,
  job: z.coerce.number().int().min(1).optional().meta({ description: 'Id of a job, as /jobs lists them.' }),
})

export function explainRoutes(executions: OwnExecutions): readonly Route[] {
  return [
    jsonRoute({
      method: 'POST',
      path: '/explain',
      summary: 'Why a job, or every capsule that is not done, is where it is and what it waits for.',
      access: 'token',
      parameters,
      problems: ['parameter-missing', 'parameter-invalid', 'execution-unknown'],
      answer: {
        status: 200,
        description: 'One explanation for a job; one a capsule otherwise, none when all is done.',
        schema: z.object({
          explanations: z.array(z.object({ subject: z.string(), state: z.string(), reason: z.string() })),
        }),
      },
      handle: ({ parameters: { id, job }, principal }) => ({
        explanations: [...executionsOf(executions, principal).explain(id, job)],
      }),
    }),
  ]
}
