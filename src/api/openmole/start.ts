import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Executions, StartRequest } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import { jsonRoute, type Call, type Route } from '../route.ts'
import { describePlan, graphSchema } from './graph.ts'

const parameters = z.object({
  script: z
    .string('Missing mandatory script parameter.')
    .meta({ description: 'Path of the workflow script in the work directory.' }),
  inputs: z.string().optional().meta({
    description:
      'What a described workflow is started with: a JSON object of values by name. Files are paths in the work directory.',
  }),
  environment: z.string().optional().meta({
    description: 'The named environment for jobs that the script leaves on the machine of the server.',
  }),
})

export function startRoutes(executions: Executions): readonly Route[] {
  const shared = {
    method: 'POST',
    access: 'token',
    parameters,
    archive: 'workDirectory',
    problems: [
      'parameter-missing',
      'archive-missing',
      'archive-invalid',
      'archive-unsafe',
      'archive-too-large',
      'script-missing',
      'script-invalid',
      'workflow-invalid',
      'inputs-invalid',
      'disk-full',
      'idempotency-busy',
      'idempotency-conflict',
    ],
  } as const
  return [
    jsonRoute({
      ...shared,
      path: '/start',
      audit: 'start',
      summary: 'Start a workflow: unpacks the work directory, reads the script, and answers when it runs.',
      answer: { status: 200, description: 'The execution.', schema: z.object({ id: z.string() }) },
      async handle(call) {
        const id = await executions.start(startRequest(call))
        call.note({ executionId: id })
        return { id }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/validate',
      summary: 'Read a script as /start does, and answer with its workflow instead of running it.',
      answer: { status: 200, description: 'The workflow.', schema: graphSchema },
      handle: async (call) => describePlan(await executions.validate(startRequest(call))),
    }),
  ]
}

type StartCall = Call<z.output<typeof parameters>>

function startRequest({
  parameters: { script, environment, inputs },
  archive,
  signal,
  header,
}: StartCall): StartRequest {
  if (archive === undefined)
    throw new Problem('archive-missing', 'Missing mandatory workDirectory parameter.')
  const request = {
    script,
    fill: archive.place,
    signal,
    ...(environment !== undefined && { environment }),
    ...(inputs !== undefined && { inputs: readInputsText(inputs) }),
  }
  const key = header('Idempotency-Key')
  if (key === undefined) return request
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw new Problem('parameter-invalid', 'The Idempotency-Key has to be 1 to 255 visible ASCII characters.')
  const digest = createHash('sha256')
    .update(`${script}\0${environment ?? ''}\0${inputs ?? ''}\0${archive.digest}`)
    .digest('hex')
  return { ...request, idempotency: { key, digest } }
}

function readInputsText(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed }
  } catch {
    // Told below.
  }
  throw new Problem('parameter-invalid', 'The inputs have to be a JSON object of values by name.')
}
