import { z } from 'zod'

const location = z.object({ file: z.string(), line: z.number(), column: z.number() }).nullable()

/** What the process that reads a script says in the end. The plan in it is checked by itself. */
export const evaluationMessage = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('plan'),
    plan: z.unknown(),
    modules: z.array(z.string()).max(10_000),
  }),
  /** The workflow is there but cannot run. */
  z.object({
    kind: z.literal('problems'),
    problems: z.array(z.object({ message: z.string(), location })),
    stack: z.string(),
  }),
  /** What the script exports by default is not a workflow. */
  z.object({ kind: z.literal('stranger'), found: z.string() }),
  z.object({
    kind: z.literal('threw'),
    message: z.string(),
    stack: z.string(),
    location,
    /** The place will be found in what Node prints of the error. */
    isPrinted: z.boolean(),
  }),
  /** The process was ended from within. Code 13: nothing was left to do while the script still awaited something. */
  z.object({ kind: z.literal('exited'), code: z.number(), location }),
])

export type EvaluationMessage = z.infer<typeof evaluationMessage>
