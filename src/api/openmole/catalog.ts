import { z } from 'zod'
import type { Catalog, CatalogEntry, CatalogWorkflow } from '../../catalog/contract.ts'
import { Problem } from '../../problem.ts'
import type { PlanInput } from '../../workflow/plan.ts'
import { describeType } from '../../workflow/value.ts'
import { requireOperator } from '../access/principal.ts'
import { archiveProblems } from './archive-problems.ts'
import { jsonRoute, rawRoute, type Route } from '../route.ts'

const name = z.string('name is missing').meta({ description: 'The workflow.' })
const origin = z.enum(['shipped', 'installed']).meta({ description: 'Whether it came with Molehill.' })

const entrySchema = z.object({
  name: z.string(),
  origin,
  title: z.string().optional(),
  description: z.string().optional(),
  category: z.string().optional(),
  error: z.string().optional().meta({ description: 'Why it cannot be started; then it has no title.' }),
})

const inputSchema = z.object({
  name: z.string(),
  type: z.string().meta({ description: 'As in `number`, `file[]`, `string[][]`.' }),
  title: z.string(),
  description: z.string(),
  category: z.string().meta({ description: 'Heading below which a form shows it.' }),
  mandatory: z.boolean(),
  advanced: z.boolean().meta({ description: 'Whether a form may hide it from beginners.' }),
  default: z.unknown().optional(),
  values: z.array(z.unknown()).optional().meta({ description: 'The only ones that are taken.' }),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  formats: z
    .array(z.string())
    .meta({ description: 'Endings of file names that are taken; any where empty.' }),
})

const outputSchema = z.object({
  path: z.string().meta({ description: 'In the work directory; `*` stands for any text without a slash.' }),
  title: z.string(),
  description: z.string(),
  role: z.string(),
})

const workflowSchema = z.object({
  name: z.string(),
  origin,
  title: z.string(),
  description: z.string(),
  category: z.string(),
  inputs: z.array(inputSchema),
  outputs: z.array(outputSchema),
})

/** What tells of the workflows that can be started by name, and installs and removes them. */
export function catalogRoutes(catalog: Catalog): readonly Route[] {
  const shared = { method: 'POST', access: 'token' } as const
  return [
    jsonRoute({
      ...shared,
      path: '/catalog',
      summary: 'The workflows that can be started by name.',
      parameters: z.object({}),
      problems: [],
      answer: {
        status: 200,
        description: 'The workflows by name, broken ones too.',
        schema: z.object({ workflows: z.array(entrySchema) }),
      },
      handle: async () => ({ workflows: (await catalog.list()).map(summarise) }),
    }),
    jsonRoute({
      ...shared,
      path: '/describe',
      summary: 'What a workflow of the catalog takes, and what it leaves behind.',
      parameters: z.object({
        workflow: z.string('workflow is missing').meta({ description: 'Its name.' }),
      }),
      problems: [
        'parameter-missing',
        'workflow-unknown',
        'workflow-invalid',
        'script-missing',
        'script-invalid',
      ],
      answer: { status: 200, description: 'Its description.', schema: workflowSchema },
      handle: async ({ parameters }) => describe(await catalog.find(parameters.workflow)),
    }),
    jsonRoute({
      ...shared,
      path: '/catalog/add',
      audit: 'catalog-add',
      summary: 'Install a workflow under a name. Its script must describe itself.',
      parameters: z.object({ name }),
      archive: 'workDirectory',
      admitArchive: (principal) => requireOperator(principal, 'Installing workflows'),
      problems: [...archiveProblems, 'not-allowed', 'workflow-conflict'],
      answer: { status: 200, description: 'It can be started.', schema: workflowSchema },
      async handle({ parameters, principal, archive, note, signal }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Installing workflows')
        if (archive === undefined)
          throw new Problem('archive-missing', 'Missing mandatory workDirectory parameter.')
        return describe(await catalog.add(parameters.name, archive.place, signal))
      },
    }),
    rawRoute({
      ...shared,
      path: '/catalog/remove',
      audit: 'catalog-remove',
      summary: 'Remove an installed workflow. Executions of it go on.',
      parameters: z.object({ name }),
      problems: ['parameter-missing', 'not-allowed', 'workflow-unknown', 'workflow-conflict'],
      answer: { status: 200, description: 'It is gone.' },
      async handle({ parameters, principal, note }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Removing workflows')
        await catalog.remove(parameters.name)
        return new Response(null)
      },
    }),
  ]
}

function summarise(entry: CatalogEntry): z.input<typeof entrySchema> {
  const { name, origin } = entry
  if (entry.kind === 'broken') return { name, origin, error: entry.problem.message }
  const { title, description, category } = entry.description
  return { name, origin, title, description, category }
}

function describe({ name, origin, description }: CatalogWorkflow): z.input<typeof workflowSchema> {
  const { title, description: text, category, inputs, outputs } = description
  return {
    name,
    origin,
    title,
    description: text,
    category,
    inputs: inputs.map(describeInput),
    outputs: outputs.map((output) => ({ ...output })),
  }
}

function describeInput(input: PlanInput): z.input<typeof inputSchema> {
  const { name, type, title, description, category, isMandatory, isAdvanced, formats, values } = input
  const { minimum, maximum } = input
  return {
    name,
    type: describeType(type),
    title,
    description,
    category,
    mandatory: isMandatory,
    advanced: isAdvanced,
    ...(input.default !== undefined && { default: input.default }),
    ...(values !== undefined && { values: [...values] }),
    // JSON has no infinity, and it is no bound.
    ...(Number.isFinite(minimum) && { minimum }),
    ...(Number.isFinite(maximum) && { maximum }),
    formats: [...formats],
  }
}
