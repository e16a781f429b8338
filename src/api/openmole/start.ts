import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Catalog } from '../../catalog/contract.ts'
import type { StartRequest } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { requireOwnWorkflows, type Principal } from '../access/principal.ts'
import { archiveProblems } from './archive-problems.ts'
import { jsonRoute, type Call, type Route } from '../route.ts'
import { describePlan, graphSchema } from './graph.ts'
import { assignFiles } from './input-files.ts'

const parameters = z.object({
  script: z.string().optional().meta({
    description: 'Path of the workflow script in the work directory. Mandatory with a work directory.',
  }),
  workflow: z.string().optional().meta({
    description: 'A workflow of the catalog, instead of a script and its work directory.',
  }),
  inputs: z.string().optional().meta({
    description:
      'What a described workflow is started with: a JSON object of values by name. Files are paths in the work directory.',
  }),
  environment: z.string().optional().meta({
    description: 'The named environment for jobs that the script leaves on the machine of the server.',
  }),
})

export function startRoutes(executions: OwnExecutions, catalog: Catalog): readonly Route[] {
  const shared = {
    method: 'POST',
    access: 'token',
    parameters,
    archive: 'workDirectory',
    admitArchive: (principal: Principal) => requireOwnWorkflows(principal),
    insteadOfArchive: 'workflow',
    filePrefix: 'input.',
    problems: [
      ...archiveProblems,
      'not-allowed',
      'quota-exceeded',
      'workflow-unknown',
      'workflow-conflict',
      'inputs-invalid',
      'idempotency-busy',
      'idempotency-conflict',
    ],
  } as const
  return [
    jsonRoute({
      ...shared,
      path: '/start',
      audit: 'start',
      summary: 'Start a workflow, a posted one or one of the catalog, and answer when it runs.',
      answer: { status: 200, description: 'The execution.', schema: z.object({ id: z.string() }) },
      async handle(call) {
        const id = await executionsOf(executions, call.principal).start(await startRequest(call, catalog))
        call.note({ executionId: id })
        return { id }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/validate',
      summary: 'Read a script as /start does, and answer with its workflow instead of running it.',
      answer: { status: 200, description: 'The workflow.', schema: graphSchema },
      handle: async (call) =>
        describePlan(
          await executionsOf(executions, call.principal).validate(await startRequest(call, catalog)),
        ),
    }),
  ]
}

type StartCall = Call<z.output<typeof parameters>>

/** What is started, and what tells it from something else that is started. */
interface StartSource {
  readonly request: Pick<StartRequest, 'script' | 'inputs' | 'name'> & {
    readonly fill: Extract<StartRequest, { readonly fill: unknown }>['fill']
  }
  readonly identity: readonly string[]
}

async function startRequest(call: StartCall, catalog: Catalog): Promise<StartRequest> {
  const { environment, workflow } = call.parameters
  if (environment !== undefined)
    requireOwnWorkflows(call.principal, 'This user may not choose where jobs run.')
  const { request, identity } =
    workflow === undefined ? postedSource(call) : await catalogSource(call, workflow, catalog)
  const whole = { ...request, signal: call.signal, ...(environment !== undefined && { environment }) }
  const key = call.header('Idempotency-Key')
  if (key === undefined) return whole
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw new Problem('parameter-invalid', 'The Idempotency-Key has to be 1 to 255 visible ASCII characters.')
  const digest = createHash('sha256').update(identity.join('\0')).digest('hex')
  return { ...whole, idempotency: { key, digest } }
}

function postedSource({ parameters, principal, archive, files }: StartCall): StartSource {
  requireOwnWorkflows(principal)
  const { script, environment, inputs } = parameters
  if (archive === undefined)
    throw new Problem('archive-missing', 'Missing mandatory workDirectory parameter.')
  if (script === undefined) throw new Problem('parameter-missing', 'Missing mandatory script parameter.')
  if (files.length > 0)
    throw new Problem('parameter-invalid', 'Files of inputs may only come with a workflow of the catalog.', {
      hint: 'Put them into the work directory, and name their paths in it: inputs={"image":"data/m51.fits"}',
    })
  return {
    request: {
      script,
      fill: archive.place,
      ...(inputs !== undefined && { inputs: readInputsText(inputs) }),
    },
    identity: [script, environment ?? '', inputs ?? '', archive.digest],
  }
}

async function catalogSource(
  { parameters, archive, files }: StartCall,
  workflow: string,
  catalog: Catalog,
): Promise<StartSource> {
  const { script: given, environment, inputs } = parameters
  if (archive !== undefined || given !== undefined)
    throw new Problem(
      'parameter-invalid',
      'Expected either the parameter "workflow", or "script" and a work directory; got some of both.',
    )
  const { name, script, description } = await catalog.find(workflow)
  const values = readInputsText(inputs ?? '{}')
  const uploaded = assignFiles(files, description, values)
  return {
    request: {
      script,
      name,
      inputs: { ...values, ...uploaded.inputs },
      async fill(workDirectory) {
        const evaluation = await catalog.fill(name, workDirectory)
        await uploaded.place(workDirectory)
        return evaluation
      },
    },
    identity: [
      'workflow',
      name,
      environment ?? '',
      inputs ?? '',
      ...files.flatMap(({ field, fileName, digest }) => [field, fileName, digest]),
    ],
  }
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
