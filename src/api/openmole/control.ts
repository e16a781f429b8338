import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { rawRoute, type Route } from '../route.ts'
import { executionParameters } from './parameters.ts'

/** What ends executions. */
export function controlRoutes(executions: OwnExecutions): readonly Route[] {
  const shared = {
    method: 'POST',
    access: 'token',
    parameters: executionParameters,
    problems: ['parameter-missing', 'execution-unknown'],
  } as const
  return [
    rawRoute({
      ...shared,
      path: '/cancel',
      audit: 'cancel',
      summary: 'Stop an execution. Its files, output and counts stay.',
      answer: { status: 200, description: 'Nothing of it runs any more.' },
      async handle({ parameters, principal }) {
        await executionsOf(executions, principal).cancel(parameters.id)
        return new Response(null)
      },
    }),
    rawRoute({
      ...shared,
      path: '/remove',
      audit: 'remove',
      summary: 'Stop an execution and delete all of it.',
      answer: { status: 200, description: 'It is gone.' },
      async handle({ parameters, principal }) {
        await executionsOf(executions, principal).remove(parameters.id)
        return new Response(null)
      },
    }),
  ]
}
