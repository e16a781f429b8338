import type { MiddlewareHandler } from 'hono'
import type { AuditAction } from './route.ts'
import type { ApiContext, ApiEnvironment } from './serve-route.ts'

/** What is known of a request when it is over. Holds no parameter but the execution's id: others may be secrets. */
export interface ObservedRequest {
  readonly requestId: string
  readonly method: string
  /** Path of the route, or undefined when there was none. */
  readonly route: string | undefined
  readonly path: string
  readonly status: number
  /** Code of the problem that was answered. */
  readonly code: string | undefined
  readonly executionId: string | undefined
  /** What was acted on, where that was no execution as a whole: a file of one, an environment. */
  readonly object: string | undefined
  /** Tells one token from another; no secret. */
  readonly tokenId: string | undefined
  /** Name of the user; undefined for the operator and where nobody knows. */
  readonly user: string | undefined
  /** What the audit log calls it. */
  readonly audit: AuditAction | undefined
  readonly durationMs: number
  readonly address: string
  /** Whether the connection was lost before the answer had left. */
  readonly isBroken: boolean
}

const longestText = 200

interface ObserveParts {
  readonly observe: (request: ObservedRequest) => void
  readonly newRequestId: () => string
  readonly elapsedMs: () => number
}

/** Gives every request an id, and tells of it once its answer has left. */
export function observeRequests({
  observe,
  newRequestId,
  elapsedMs,
}: ObserveParts): MiddlewareHandler<ApiEnvironment> {
  return async (context, next) => {
    const startedMs = elapsedMs()
    const requestId = newRequestId()
    context.set('requestId', requestId)
    // A closed connection has no address any more.
    const address = context.env.incoming?.socket.remoteAddress ?? ''
    await next()
    context.res.headers.set('x-request-id', requestId)
    const outgoing = context.env.outgoing
    const finish = () =>
      observe({
        requestId,
        ...describe(context),
        address,
        durationMs: elapsedMs() - startedMs,
        isBroken: outgoing !== undefined && !outgoing.writableFinished,
      })
    if (outgoing === undefined || outgoing.destroyed) finish()
    else outgoing.once('close', finish)
  }
}

function describe(context: ApiContext) {
  const principal = context.get('principal')
  return {
    method: context.req.method,
    route: context.get('route'),
    path: context.req.path.slice(0, longestText),
    status: context.res.status,
    code: context.get('code'),
    executionId: context.get('executionId')?.slice(0, longestText),
    object: context.get('object')?.slice(0, longestText),
    tokenId: principal?.id,
    user: principal?.kind === 'user' ? principal.name : undefined,
    audit: context.get('audit'),
  }
}
