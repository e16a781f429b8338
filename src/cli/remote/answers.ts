import { z } from 'zod'
import { Problem, problems, type ProblemCode } from '../../problem.ts'

/** What a server answers. Members that this version does not know are kept, so that `--json` shows them. */
export const tokenAnswer = z.looseObject({ token: z.string().min(1), duration: z.number() })

export const startAnswer = z.looseObject({ id: z.string().min(1) })

export const outputAnswer = z.looseObject({
  output: z.string(),
  /** What jobs print that run now. */
  running: z.array(z.looseObject({ job: z.number(), subject: z.string(), text: z.string() })).default([]),
})

const count = z.number().default(0)

const capsuleCounts = z.looseObject({ ready: count, running: count, completed: count, failed: count })

export const stateAnswer = z.looseObject({
  state: z.enum(['running', 'finished', 'failed']),
  ready: z.number().optional(),
  running: z.number().optional(),
  completed: z.number().optional(),
  failed: z.number().optional(),
  /** Objects with one member each: the counts by the name of the capsule. */
  capsules: z.array(z.record(z.string(), capsuleCounts)).default([]),
  environments: z
    .array(
      z.looseObject({
        name: z.string().default(''),
        submitted: count,
        running: count,
        done: count,
        failed: count,
        errors: z.array(z.looseObject({ message: z.string(), level: z.string() })).default([]),
      }),
    )
    .default([]),
  error: z.looseObject({ message: z.string(), stackTrace: z.string().optional() }).optional(),
})

export type StateAnswer = z.infer<typeof stateAnswer>

export const listAnswer = z.array(
  z.looseObject({
    id: z.string(),
    name: z.string().optional(),
    script: z.string().optional(),
    state: z.string().optional(),
    startedAt: z.number().optional(),
    endedAt: z.number().nullish(),
  }),
)

export const filesAnswer = z.array(
  z.looseObject({ name: z.string(), type: z.string(), size: count, mtime: z.number().optional() }),
)

const jobAnswer = z.looseObject({
  id: z.number(),
  capsule: z.string(),
  ticket: z.string().default(''),
  state: z.string(),
  attempts: count,
  startedAt: z.number().nullish(),
  endedAt: z.number().nullish(),
  error: z.string().nullish(),
})

export type JobAnswer = z.infer<typeof jobAnswer>

export const jobsAnswer = z.looseObject({ jobs: z.array(jobAnswer), next: z.number().nullish() })

export const environmentsAnswer = z.looseObject({
  environments: z.array(
    z.looseObject({
      name: z.string(),
      kind: z.string(),
      named: z.boolean().default(true),
      options: z.record(z.string(), z.unknown()).default({}),
      secrets: z.array(z.string()).default([]),
      capabilities: z
        .looseObject({
          survivesRestart: z.boolean(),
          sharedFileSystem: z.boolean(),
          resources: z.array(z.string()),
          maxActiveJobs: z.number(),
          slots: z.number().optional(),
        })
        .optional(),
      health: z.looseObject({
        state: z.string(),
        message: z.string().default(''),
        checkedAt: z.number().optional(),
      }),
      jobs: z.object({ ready: count, submitted: count, running: count, done: count, failed: count }),
      hosts: z.array(z.looseObject({ name: z.string(), description: z.string() })).default([]),
    }),
  ),
})

export type EnvironmentAnswer = z.infer<typeof environmentsAnswer>['environments'][number]

export const environmentAddedAnswer = z.looseObject({ name: z.string(), inUse: z.boolean().default(false) })

export const environmentCheckedAnswer = z.looseObject({
  good: z.boolean(),
  findings: z.array(
    z.looseObject({ what: z.string(), good: z.boolean(), message: z.string(), fix: z.string().optional() }),
  ),
})

/** A workflow as a graph: shown as it came. */
export const explainAnswer = z.looseObject({
  explanations: z.array(z.looseObject({ subject: z.string(), state: z.string(), reason: z.string() })),
})

export const graphAnswer = z.looseObject({
  steps: z
    .array(
      z.looseObject({
        kind: z.string(),
        name: z.string().default(''),
        task: z.string().default(''),
        inputs: z.array(z.looseObject({ name: z.string() })).default([]),
        outputs: z.array(z.looseObject({ name: z.string() })).default([]),
        environment: z.string().default(''),
      }),
    )
    .default([]),
})

export type GraphAnswer = z.infer<typeof graphAnswer>

const words = z.string().default('')

const quotaLimit = z.number().optional()

export const usersAnswer = z.looseObject({
  users: z.array(
    z.looseObject({
      name: z.string(),
      workflows: words,
      submitter: z.boolean().default(false),
      executions: z.number().default(0),
      storedBytes: z.number().default(0),
      quota: z
        .looseObject({ storedBytes: quotaLimit, runningJobs: quotaLimit, queuedJobs: quotaLimit })
        .default({}),
      keys: z.array(z.looseObject({ key: z.string(), createdAt: z.number() })).default([]),
      identities: z.array(z.looseObject({ issuer: z.string(), subject: z.string() })).default([]),
    }),
  ),
})

export const keyAnswer = z.looseObject({ id: z.string(), key: z.string() })

export const catalogAnswer = z.looseObject({
  workflows: z.array(
    z.looseObject({
      name: z.string(),
      origin: words,
      title: words,
      category: words,
      error: z.string().optional(),
    }),
  ),
})

export const workflowAnswer = z.looseObject({
  name: z.string(),
  title: words,
  description: words,
  inputs: z
    .array(
      z.looseObject({
        name: z.string(),
        type: words,
        title: words,
        description: words,
        mandatory: z.boolean().default(false),
        default: z.unknown().optional(),
        values: z.array(z.unknown()).optional(),
        minimum: z.number().optional(),
        maximum: z.number().optional(),
        formats: z.array(z.string()).default([]),
      }),
    )
    .default([]),
  outputs: z
    .array(z.looseObject({ path: z.string(), title: words, description: words, role: words }))
    .default([]),
})

export type WorkflowAnswer = z.infer<typeof workflowAnswer>

const problemAnswer = z.object({
  message: z.string().optional(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  code: z
    .enum(Object.keys(problems) as [ProblemCode, ...ProblemCode[]])
    .optional()
    .catch(undefined),
  stackTrace: z.string().optional(),
})

/** What of an answer that is no success makes a problem, with the server's own words where it sent some. */
export function readProblem(status: number, body: string): Problem {
  const told = problemAnswer.safeParse(parseJson(body))
  const { detail, message, hint, code, stackTrace } = told.success ? told.data : {}
  const words = detail ?? message ?? `The server answered with status ${status}${excerpt(body)}.`
  return new Problem(code ?? codeOfStatus(status), words, {
    ...(hint === undefined ? {} : { hint }),
    ...(stackTrace === undefined ? {} : { cause: stackTrace }),
  })
}

/** What `schema` makes of an answer. Throws Problem('server-unreachable') when no Molehill answers there. */
export function readAnswer<Schema extends z.ZodType>(schema: Schema, body: string): z.output<Schema> {
  const read = schema.safeParse(parseJson(body))
  if (read.success) return read.data
  throw new Problem('server-unreachable', `The server answered something unexpected${excerpt(body)}.`, {
    hint: 'Is it a Molehill server, and not an older or newer one than this command?',
    cause: read.error,
  })
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

function excerpt(body: string): string {
  const start = body.trim().slice(0, 100)
  return start === '' ? '' : `: ${JSON.stringify(start)}`
}

function codeOfStatus(status: number): ProblemCode {
  if (status === 401) return 'token-invalid'
  if (status === 403) return 'password-wrong'
  if (status === 404) return 'file-missing'
  if (status === 413) return 'body-too-large'
  if (status === 429) return 'password-throttled'
  if (status === 502 || status === 503 || status === 504) return 'server-busy'
  return status >= 500 ? 'internal' : 'parameter-invalid'
}
