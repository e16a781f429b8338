import { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'
import { Problem, toProblem } from '../problem.ts'
import { isStillSent, lingerOnClose } from './linger.ts'
import { observeRequests, type ObservedRequest } from './observe.ts'
import type { Dialect, Route, TellProblem } from './route.ts'
import { serveRoute, type ApiContext, type ApiEnvironment, type ServeParts } from './serve-route.ts'

export interface ApiParts extends Omit<ServeParts, 'reportBroken'> {
  /** The first one tells the problems of requests that belong to no route. */
  readonly dialects: readonly [Dialect, ...Dialect[]]
  /** Called once for each request, when its answer has left or broken off. */
  readonly observe: (request: ObservedRequest) => void
  /** Told of what should not happen, for the log. */
  readonly report: (error: unknown, about: { readonly requestId: string; readonly what: string }) => void
  readonly newRequestId: () => string
  /** Monotonic, in milliseconds. */
  readonly elapsedMs: () => number
}

export type Api = Hono<ApiEnvironment>

/** The HTTP interface: every dialect's routes, and one way to treat what is the same for all of them. */
export function createApi(parts: ApiParts): Api {
  const { dialects, report, stopping } = parts
  const serveParts: ServeParts = {
    ...parts,
    reportBroken: (reason, requestId) => report(reason, { requestId, what: 'an answer broke off' }),
  }
  const api = new Hono<ApiEnvironment>()
  api.use(observeRequests(parts))
  api.use(
    secureHeaders({
      contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"], sandbox: [] },
      // Only right with a certificate that browsers trust, which is the operator's to know.
      strictTransportSecurity: false,
      xFrameOptions: 'DENY',
      overwrite: false,
    }),
  )
  api.use(async (context, next) => {
    const answerHeaders = new Headers()
    context.set('answerHeaders', answerHeaders)
    await next()
    // `context.header` would make a stream of every body, which costs as much as all the rest.
    const { headers } = context.res
    for (const [name, value] of answerHeaders) headers.set(name, value)
    if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
    const { incoming } = context.env
    const isEarly = incoming !== undefined && 'complete' in incoming && isStillSent(incoming)
    if (isEarly) lingerOnClose(incoming)
    if (isEarly || stopping.aborted) headers.set('connection', 'close')
  })

  const tell = (error: unknown, context: ApiContext, tellProblem: TellProblem) => {
    const problem = toProblem(error)
    const requestId = context.get('requestId')
    context.set('code', problem.code)
    if (problem.code === 'internal') report(error, { requestId, what: 'an unexpected error' })
    return tellProblem(problem, requestId)
  }
  for (const dialect of dialects)
    for (const path of new Set(dialect.routes.map((route) => route.path))) {
      const own = dialect.routes.filter((route) => route.path === path)
      const whole = `${dialect.mount}${path}`
      api.all(whole, async (context) => {
        context.set('route', whole)
        let { tellProblem } = dialect
        try {
          const route = chooseRoute(own, context)
          if (route.tellProblem !== undefined) tellProblem = route.tellProblem
          if (stopping.aborted && route.access !== 'open') throw serverStopping()
          return await serveRoute(context, dialect, route, serveParts)
        } catch (error) {
          return tell(error, context, tellProblem)
        }
      })
    }
  const [{ tellProblem }] = dialects
  api.notFound((context) => tell(routeUnknown(context), context, tellerOf(dialects, context.req.path)))
  api.onError((error, context) => tell(error, context, tellProblem))
  return api
}

/** Of paths below the mount of a dialect, that dialect tells what is wrong with them. */
function tellerOf(dialects: ApiParts['dialects'], path: string): TellProblem {
  const owner = dialects.find(({ mount }) => mount !== '' && path.startsWith(`${mount}/`))
  return (owner ?? dialects[0]).tellProblem
}

function chooseRoute(routes: readonly Route[], context: ApiContext): Route {
  const { method } = context.req
  const route = routes.find((each) => methodsOf(each).includes(method))
  if (route !== undefined) return route
  const allowed = routes.flatMap(methodsOf).join(', ')
  context.get('answerHeaders').set('allow', allowed)
  throw new Problem('method-not-allowed', `Expected ${allowed} for ${context.req.path}, got ${method}.`)
}

/** HEAD changes nothing (RFC 9110, section 9.2.1), but some protocols have things done by GET. */
function methodsOf({ method, audit }: Route): readonly string[] {
  const onlyTells = audit === undefined || audit === 'download'
  return method === 'GET' && onlyTells ? ['GET', 'HEAD'] : [method]
}

function routeUnknown(context: ApiContext): Problem {
  const path = context.req.path.slice(0, 100)
  return new Problem('route-unknown', `There is no route ${JSON.stringify(path)}.`, {
    hint: 'GET /openapi.json lists the routes.',
  })
}

function serverStopping(): Problem {
  return new Problem('server-busy', 'The server is stopping.', {
    hint: 'Try again when it has been started anew.',
    retryAfterSeconds: 10,
  })
}
