import { z } from 'zod'
import type { EnvironmentDescription, Executions } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import { requireOperator } from '../access/principal.ts'
import { jsonRoute, rawRoute, type Route } from '../route.ts'

const name = z.string('name is missing').meta({ description: 'The environment.' })
const nameParameters = z.object({ name })

const addParameters = z.object({
  name,
  kind: z.string('kind is missing').meta({ description: 'As in scripts: local, ssh, slurm ...' }),
  options: z
    .string()
    .default('{}')
    .meta({ description: 'What its kind takes, as a JSON object, without those that are secret.' }),
  secrets: z
    .string()
    .default('{}')
    .meta({ description: 'The secret options, as a JSON object of texts. They are kept encrypted.' }),
  replace: z
    .stringbool()
    .default(false)
    .meta({ description: 'Whether an environment of that name may be replaced.' }),
})

const countsSchema = z.object({
  ready: z.int(),
  submitted: z.int(),
  running: z.int(),
  done: z.int(),
  failed: z.int(),
})

const capabilitiesSchema = z.object({
  survivesRestart: z.boolean(),
  sharedFileSystem: z.boolean(),
  resources: z.array(z.string()),
  maxJobsPerSubmit: z.int(),
  maxActiveJobs: z.int(),
  slots: z.int().optional().meta({ description: 'How many jobs run at the same time, where that is known.' }),
})

const environmentSchema = z.object({
  name: z.string(),
  kind: z.string(),
  named: z.boolean().meta({ description: 'Whether scripts may refer to it by its name.' }),
  options: z.record(z.string(), z.unknown()),
  secrets: z.array(z.string()).meta({ description: 'Names of the options that are not shown.' }),
  capabilities: capabilitiesSchema
    .optional()
    .meta({ description: 'Not known before it is used or checked.' }),
  health: z.object({
    state: z.enum(['good', 'bad', 'unknown']),
    message: z.string(),
    checkedAt: z.int().optional().meta({ description: 'Milliseconds since 1970.' }),
  }),
  jobs: countsSchema.meta({
    description: 'Of executions under way, and of those that ended since the server has started.',
  }),
  hosts: z
    .array(z.object({ name: z.string(), description: z.string() }))
    .optional()
    .meta({ description: 'Computers that come to it by themselves, the last heard first.' }),
})

const findingSchema = z.object({
  what: z.string(),
  good: z.boolean(),
  message: z.string(),
  fix: z.string().optional(),
})

/** What tells of the places where jobs run, and keeps those with names. */
export function environmentRoutes({ environments }: Pick<Executions, 'environments'>): readonly Route[] {
  const shared = { method: 'POST', access: 'token' } as const
  return [
    jsonRoute({
      ...shared,
      path: '/environments',
      summary:
        'The places where jobs run: those with names, and those that executions have described and use.',
      parameters: z.object({}),
      problems: ['not-allowed'],
      answer: {
        status: 200,
        description: 'The environments, and the kinds that there are.',
        schema: z.object({
          environments: z.array(environmentSchema),
          kinds: z.array(z.object({ kind: z.string(), secrets: z.array(z.string()) })),
        }),
      },
      async handle({ principal }) {
        requireOperator(principal, 'What is known of environments')
        return {
          environments: (await environments.list()).map(describe),
          kinds: environments.kinds.map(({ kind, secrets }) => ({ kind, secrets: [...secrets] })),
        }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/environments/add',
      audit: 'environment-add',
      summary: 'Keep an environment under a name, for scripts to refer to.',
      parameters: addParameters,
      problems: [
        'parameter-missing',
        'parameter-invalid',
        'not-allowed',
        'environment-conflict',
        'configuration-invalid',
      ],
      answer: {
        status: 200,
        description: 'It is kept.',
        schema: z.object({
          name: z.string(),
          inUse: z.boolean().meta({
            description: 'Whether executions use what it replaces: they do so until the server starts again.',
          }),
        }),
      },
      async handle({ parameters, principal, note }) {
        const { name, kind, replace } = parameters
        note({ object: name })
        requireOperator(principal, 'Keeping environments')
        const options = readObject(parameters.options, 'options', z.record(z.string(), z.unknown()))
        const secrets = readObject(parameters.secrets, 'secrets', z.record(z.string(), z.string()))
        const { isInUse } = await environments.add({ name, kind, options, secrets, isReplacing: replace })
        return { name, inUse: isInUse }
      },
    }),
    jsonRoute({
      ...shared,
      path: '/environments/check',
      audit: 'environment-check',
      summary: 'Look at all that jobs need on an environment.',
      parameters: nameParameters,
      problems: ['parameter-missing', 'not-allowed', 'environment-unknown'],
      answer: {
        status: 200,
        description: 'What was found, good or not.',
        schema: z.object({ good: z.boolean(), findings: z.array(findingSchema) }),
      },
      async handle({ parameters, principal, note, signal, stopping }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Checking environments')
        const found = await environments.check(parameters.name, AbortSignal.any([signal, stopping]))
        return {
          good: found.every(({ isGood }) => isGood),
          findings: found.map(({ what, isGood, message, fix }) => ({ what, good: isGood, message, fix })),
        }
      },
    }),
    rawRoute({
      ...shared,
      path: '/environments/remove',
      audit: 'environment-remove',
      summary: 'Forget a named environment and its secrets.',
      parameters: nameParameters,
      problems: ['parameter-missing', 'not-allowed', 'environment-unknown', 'environment-conflict'],
      answer: { status: 200, description: 'It is gone.' },
      async handle({ parameters, principal, note }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Removing environments')
        await environments.remove(parameters.name)
        return new Response(null)
      },
    }),
  ]
}

function describe(environment: EnvironmentDescription): z.input<typeof environmentSchema> {
  const { name, kind, isNamed, options, secrets, capabilities, health, jobs, hosts } = environment
  return {
    name,
    kind,
    named: isNamed,
    options: { ...options },
    secrets: [...secrets],
    capabilities: capabilities && {
      survivesRestart: capabilities.survivesRestart,
      sharedFileSystem: capabilities.sharedFileSystem,
      resources: [...capabilities.resources],
      maxJobsPerSubmit: capabilities.maxJobsPerSubmit,
      maxActiveJobs: capabilities.maxActiveJobs,
      ...(capabilities.slots !== undefined && { slots: capabilities.slots }),
    },
    health,
    jobs,
    ...(hosts !== undefined && { hosts: [...hosts] }),
  }
}

/** The text may be a secret: no message quotes it. */
function readObject<Schema extends z.ZodType>(
  text: string,
  parameter: string,
  schema: Schema,
): z.output<Schema> {
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    throw new Problem(
      'parameter-invalid',
      `The parameter "${parameter}" cannot be read: expected a JSON object.`,
      {
        hint:
          parameter === 'secrets'
            ? 'Its members are texts: {"password":"..."}'
            : '{"host":"hub"}, for example',
      },
    )
  }
}
