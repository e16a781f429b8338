import { z } from 'zod'
import type { Problem, ProblemCode } from '../problem.ts'

/**
 * A problem as RFC 9457 tells it, with the `message` and `stackTrace` of OpenMOLE as extension members: one body
 * serves both kinds of clients.
 */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: 'Where this kind of problem is explained.' }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'What was expected and what came.' }),
    code: z.string().meta({ description: 'One of those that the page at `/` lists. More may be added.' }),
    hint: z.string().optional().meta({ description: 'What to do about it.' }),
    requestId: z.string().meta({ description: 'Finds the request in the log of the server.' }),
    message: z
      .string()
      .meta({ description: 'The same as `detail`, in the words of OpenMOLE where it has some.' }),
    stackTrace: z.string().optional().meta({ description: 'Where in the script an exception was thrown.' }),
    errors: z
      .array(z.string())
      .optional()
      .meta({ description: 'Everything that is wrong, when it is more than one thing.' }),
  })
  .meta({ id: 'Problem' })

export type ProblemBody = z.infer<typeof problemSchema>

export const problemContentType = 'application/problem+json; charset=utf-8'

/** What clients of OpenMOLE 9.2 and later compare with or show. */
const openmoleMessages: Partial<Record<ProblemCode, string>> = {
  'token-invalid': 'This service requires a valid token',
  'password-missing': 'No password sent with request',
  'password-wrong': 'Server password is incorrect',
  'execution-unknown': 'Execution not found',
  'file-missing': 'File not found',
  'path-unsafe': 'File not found',
}

export function describeProblem(problem: Problem, requestId: string): ProblemBody {
  const { code, hint, cause, telling } = problem
  const isOurs = code === 'internal'
  const detail = isOurs ? 'The server met something that it was not made for.' : problem.message
  // Only what the user's own script threw: stacks of the server tell where it lies.
  const stack = code === 'script-invalid' && cause instanceof Error ? cause.stack : undefined
  const errors = code === 'workflow-invalid' ? listErrors(problem.message) : []
  return {
    type: `/#${code}`,
    title: telling.title,
    status: telling.status,
    detail,
    code,
    ...(isOurs
      ? { hint: 'Tell the operator the requestId: the log says more.' }
      : hint === undefined
        ? {}
        : { hint }),
    requestId,
    message: openmoleMessages[code] ?? detail,
    ...(stack === undefined ? {} : { stackTrace: stack }),
    ...(errors.length > 1 ? { errors } : {}),
  }
}

export function answerProblem(problem: Problem, requestId: string): Response {
  const headers = new Headers({ 'content-type': problemContentType })
  if (problem.code === 'token-invalid') headers.set('www-authenticate', 'Bearer')
  if (problem.retryAfterSeconds !== undefined) headers.set('retry-after', String(problem.retryAfterSeconds))
  return new Response(JSON.stringify(describeProblem(problem, requestId)), {
    status: problem.telling.status,
    headers,
  })
}

function listErrors(message: string): string[] {
  return message.split('\n').filter((line) => line !== '')
}
