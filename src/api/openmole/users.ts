import { z } from 'zod'
import type { Executions } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import type { KeptOfUsers, User, Users, UserSettings } from '../../users/contract.ts'
import type { Quotas } from '../../users/quotas.ts'
import { addUser, removeUser } from '../../users/removal.ts'
import { requireOperator } from '../access/principal.ts'
import { jsonRoute, rawRoute, type Route } from '../route.ts'

export interface UserParts {
  readonly users: Users
  readonly executions: Pick<Executions, 'list' | 'remove' | 'lookAgain'>
  readonly quotas: Pick<Quotas, 'of' | 'storedBytes'>
  readonly kept: readonly KeptOfUsers[]
}

const name = z.string('name is missing').meta({ description: 'The user.' })

const limit = (what: string) =>
  z
    .union([z.literal('none').transform(() => null), z.coerce.number().pipe(z.int().min(0))])
    .optional()
    .meta({ description: `${what} A number, or \`none\` for what holds for all users.` })

const settings = z.object({
  name,
  submitter: z
    .stringbool()
    .optional()
    .meta({ description: 'Whether his keys are authenticators for the remote submission of BOINC.' }),
  workflows: z
    .enum(['catalog', 'any'])
    .optional()
    .meta({ description: 'Whether he may start workflows of the catalog only, or also such of his own.' }),
  storedBytes: limit('Most bytes that are kept of him.'),
  runningJobs: limit('Most of his jobs that run at the same time.'),
  queuedJobs: limit('With so many of his jobs waiting, nothing more is started.'),
  issuer: z
    .string()
    .optional()
    .meta({ description: 'Who says that he is `subject`: an OpenID Connect provider.' }),
  subject: z.string().optional().meta({ description: 'Who he is there.' }),
})

const quotaSchema = z.object({
  storedBytes: z.int().optional(),
  runningJobs: z.int().optional(),
  queuedJobs: z.int().optional(),
})

const userSchema = z.object({
  name: z.string(),
  submitter: z.boolean(),
  workflows: z.enum(['catalog', 'any']),
  quota: quotaSchema.meta({ description: 'His own limits, and those of the server where he has none.' }),
  storedBytes: z.int(),
  executions: z.int(),
  keys: z.array(z.object({ key: z.string().meta({ description: 'Its id.' }), createdAt: z.int() })),
  identities: z.array(z.object({ issuer: z.string(), subject: z.string() })),
  createdAt: z.int().meta({ description: 'Milliseconds since 1970.' }),
})

const changeProblems = ['parameter-missing', 'parameter-invalid', 'not-allowed', 'user-conflict'] as const

/** What tells of users, and keeps them. All but a user's question for himself is the operator's. */
export function userRoutes(parts: UserParts): readonly Route[] {
  const { users, executions } = parts
  const shared = { method: 'POST', access: 'token' } as const
  return [
    jsonRoute({
      ...shared,
      path: '/users',
      summary: 'The users and what is kept of them; himself where a user asks.',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'By name.', schema: z.object({ users: z.array(userSchema) }) },
      async handle({ principal }) {
        const wanted = users
          .list()
          .filter(
            (user) =>
              principal.kind === 'operator' || (principal.kind === 'user' && principal.name === user.name),
          )
        const described = []
        for (const user of wanted) described.push(await describe(user, parts))
        return { users: described }
      },
    }),
    rawRoute({
      ...shared,
      path: '/users/add',
      audit: 'user-add',
      summary: 'Add a user. He has no key yet.',
      parameters: settings,
      problems: changeProblems,
      answer: { status: 200, description: 'He is kept.' },
      async handle({ parameters, principal, note }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Adding users')
        await addUser(parameters.name, readSettings(parameters), parts)
        return new Response(null)
      },
    }),
    rawRoute({
      ...shared,
      path: '/users/change',
      audit: 'user-change',
      summary: 'Change what is given of a user.',
      parameters: settings,
      problems: [...changeProblems, 'user-unknown'],
      answer: { status: 200, description: 'It is changed.' },
      async handle({ parameters, principal, note }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Changing users')
        await users.change(parameters.name, readSettings(parameters))
        executions.lookAgain(parameters.name)
        return new Response(null)
      },
    }),
    rawRoute({
      ...shared,
      path: '/users/remove',
      audit: 'user-remove',
      summary: 'Remove a user. Not while he has executions, unless these are to be removed too.',
      parameters: z.object({
        name,
        withExecutions: z
          .stringbool()
          .default(false)
          .meta({ description: 'Whether his executions are removed with all their files.' }),
      }),
      problems: ['parameter-missing', 'parameter-invalid', 'not-allowed', 'user-unknown', 'user-conflict'],
      answer: { status: 200, description: 'Nothing of him is left.' },
      async handle({ parameters, principal, note }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Removing users')
        await removeUser(parameters.name, parameters.withExecutions, parts)
        return new Response(null)
      },
    }),
    jsonRoute({
      ...shared,
      path: '/users/keys/add',
      audit: 'key-add',
      summary: 'Make a key for a user. It is told this once.',
      parameters: z.object({ name }),
      problems: ['parameter-missing', 'not-allowed', 'user-unknown', 'user-conflict'],
      answer: {
        status: 200,
        description: 'The key.',
        schema: z.object({
          id: z.string().meta({ description: 'Names the key; no secret.' }),
          key: z
            .string()
            .meta({ description: 'A secret. It is good as a token, and as the password of /token.' }),
        }),
      },
      async handle({ parameters, principal, note }) {
        note({ object: parameters.name })
        requireOperator(principal, 'Making keys')
        const made = await users.addKey(parameters.name)
        note({ object: `${parameters.name}/${made.id}` })
        return made
      },
    }),
    rawRoute({
      ...shared,
      path: '/users/keys/remove',
      audit: 'key-remove',
      summary: 'Remove a key. It is void at once, with the tokens that were given out for it.',
      parameters: z.object({
        name,
        key: z.string('key is missing').meta({ description: 'Its id.' }),
      }),
      problems: ['parameter-missing', 'not-allowed', 'user-unknown', 'key-unknown'],
      answer: { status: 200, description: 'It is gone.' },
      async handle({ parameters, principal, note }) {
        note({ object: `${parameters.name}/${parameters.key}` })
        requireOperator(principal, 'Removing keys')
        await users.removeKey(parameters.name, parameters.key)
        return new Response(null)
      },
    }),
  ]
}

function readSettings({ issuer, subject, ...given }: z.output<typeof settings>): UserSettings {
  const { submitter, workflows, storedBytes, runningJobs, queuedJobs } = given
  if ((issuer === undefined) !== (subject === undefined))
    throw new Problem('parameter-invalid', 'Expected an issuer and a subject together, got one of them.')
  return {
    submitter,
    workflows,
    quota: { storedBytes, runningJobs, queuedJobs },
    ...(issuer !== undefined && subject !== undefined && { identity: { issuer, subject } }),
  }
}

async function describe(user: User, { executions, quotas }: UserParts): Promise<z.input<typeof userSchema>> {
  const { name, rights, keys, identities, createdAt } = user
  return {
    name,
    submitter: rights.submitter,
    workflows: rights.workflows,
    quota: quotas.of(name),
    storedBytes: await quotas.storedBytes(name),
    executions: executions.list({ owner: name }).length,
    keys: keys.map(({ id, createdAt }) => ({ key: id, createdAt })),
    identities: identities.map(({ issuer, subject }) => ({ issuer, subject })),
    createdAt,
  }
}
