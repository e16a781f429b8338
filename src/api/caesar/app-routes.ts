import { z } from 'zod'
import { jsonRoute, type Route } from '../route.ts'
import { Problem } from '../../problem.ts'
import { CaesarRefusal } from './answers.ts'
import { describeNested, describeOptions, optionSchema } from './describe.ts'
import { short, type CaesarRooms } from './parts.ts'

/** The apps: every workflow of the catalog that can be started. */
export function appRoutes({ catalog, settings, sources }: CaesarRooms): readonly Route[] {
  const shared = {
    method: 'GET',
    access: 'token',
    parameters: z.object({}),
    problems: [],
  } as const
  return [
    jsonRoute({
      ...shared,
      path: '/apps',
      summary: 'The apps that jobs may run.',
      answer: {
        status: 200,
        description: 'Their names.',
        schema: z.object({ apps: z.array(z.string()) }),
      },
      async handle() {
        const entries = await catalog.list()
        return { apps: entries.filter(({ kind }) => kind === 'workflow').map(({ name }) => name) }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/app/:name/describe',
      summary: 'The options of an app.',
      problems: ['parameter-invalid'],
      answer: {
        status: 200,
        description: 'The options by name; with inputs and outputs where the server is set to tell them.',
        schema:
          settings.describe === 'flat'
            ? z.record(z.string(), optionSchema)
            : z.looseObject({ name: z.string(), job_options: z.record(z.string(), optionSchema) }),
      },
      async handle({ path }) {
        const name = path['name'] ?? ''
        const { description } = await catalog.find(name).catch((error: unknown) => {
          const isUnknown = error instanceof Problem && error.code === 'workflow-unknown'
          throw isUnknown ? new CaesarRefusal(400, `Unknown app ${short(name)}!`) : error
        })
        if (settings.describe === 'flat') return describeOptions(description)
        return { ...describeNested(name, description), name, job_options: describeOptions(description) }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/datasets',
      summary: 'Data sets that the operator has installed.',
      answer: {
        status: 200,
        description: 'The data sets by name.',
        schema: z.record(z.string(), z.object({ description: z.string() })),
      },
      handle: async () => ({ ...(await sources.list()) }),
    }),
  ]
}
