import { z } from 'zod'
import { describeApi } from '../openapi.ts'
import { answerProblem, problemSchema } from '../problem-answer.ts'
import { jsonRoute, rawRoute, type Dialect, type Route } from '../route.ts'
import { renderPage } from './page.ts'

export interface OperationsParts {
  readonly version: string
  /** The dialects to describe besides this one. */
  readonly dialects: readonly Dialect[]
  /** Throws Problem server-busy while no work should be sent here. */
  readonly checkReady: () => Promise<void>
  /** What an operator should know of a server that is ready: one sentence each. */
  readonly remarks?: readonly string[]
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
}

/** What machines and operators ask, by GET and without a token: nothing here tells of anybody's work. */
export function operationsDialect({
  version,
  dialects,
  checkReady,
  remarks = [],
  metrics,
}: OperationsParts): Dialect {
  const shared = { method: 'GET', access: 'open', parameters: z.object({}), problems: [] } as const
  const plain = (description: string) => ({ status: 200, description, contentType: 'text/plain' }) as const
  const page = renderPage(version)
  const own: Route[] = [
    rawRoute({
      ...shared,
      path: '/',
      summary: 'A page that says what this is.',
      answer: { status: 200, description: 'The page.', contentType: 'text/html' },
      handle: () =>
        new Response(page.html, {
          headers: {
            'content-type': 'text/html; charset=utf-8',
            'content-security-policy': page.contentSecurityPolicy,
          },
        }),
    }),
    rawRoute({
      ...shared,
      path: '/livez',
      summary: 'Whether the process answers.',
      answer: plain('It does.'),
      handle: () => new Response('ok\n'),
    }),
    rawRoute({
      ...shared,
      path: '/readyz',
      summary: 'Whether work may be sent here.',
      problems: ['server-busy', 'disk-full'],
      answer: plain('It may.'),
      async handle() {
        await checkReady()
        return new Response(['ok', ...remarks, ''].join('\n'))
      },
    }),
    rawRoute({
      ...shared,
      path: '/metrics',
      summary: "Numbers for monitoring, in Prometheus' text format.",
      answer: plain('The numbers.'),
      handle: async () =>
        new Response(await metrics.text(), { headers: { 'content-type': metrics.contentType } }),
    }),
    jsonRoute({
      ...shared,
      path: '/openapi.json',
      summary: 'This description.',
      answer: { status: 200, description: 'OpenAPI 3.1.', schema: z.looseObject({}) },
      handle: () => description,
    }),
  ]
  const operations: Dialect = {
    name: 'operations',
    mount: '',
    routes: own,
    tellProblem: answerProblem,
    problemSchema,
  }
  const description = describeApi([...dialects, operations], version)
  return operations
}
