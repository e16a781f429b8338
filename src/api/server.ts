import { getRequestListener } from '@hono/node-server'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerOptions,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { Problem } from '../problem.ts'
import type { Api } from './app.ts'
import { keepRoom } from './connection-room.ts'
import { isStillSent, lingerOnClose } from './linger.ts'
import { describeProblem, problemContentType } from './problem-answer.ts'
import type { TlsIdentity } from './tls.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Absent for plain HTTP. */
  readonly tls?: Pick<TlsIdentity, 'cert' | 'key'>
  readonly maxConnections: number
  /** How many more are taken only to be told to come again; none without it. */
  readonly refusedConnections?: number
  /** Longest silence on a connection in the midst of a request. */
  readonly idleMs: number
  /** Told of what goes wrong beneath HTTP. */
  readonly report: (error: unknown) => void
}

export interface HttpServer {
  readonly url: string
  /** Takes no more connections, lets requests end for `graceMs`, then cuts what is left. */
  close(graceMs: number): Promise<void>
}

const headersMs = 30_000
const keepAliveMs = 15_000
/** Clients are told the shorter time: one that still asks in the last moment is answered, not cut off. */
const keepAliveGraceMs = 10_000
/** How many connections may wait to be taken; the system may allow fewer. */
const mostWaiting = 4096
const refusedMs = 5000
const refusedRetrySeconds = 2
const mostHeaderBytes = 16 * 1024

/** Serves the API over HTTPS or HTTP. Throws Problem configuration-invalid when it cannot listen there. */
export async function listen(api: Api, options: ListenOptions): Promise<HttpServer> {
  const listener = getRequestListener(api.fetch, {
    // See `lingerOnClose`.
    autoCleanupIncoming: false,
    errorHandler: (error) => {
      options.report(error)
      return new Response(null, { status: 400 })
    },
  })
  const serverOptions: ServerOptions = {
    headersTimeout: headersMs,
    // Uploads may take hours; what stalls is ended by the reader of the body.
    requestTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    keepAliveTimeoutBuffer: keepAliveGraceMs,
    maxHeaderSize: mostHeaderBytes,
  }
  const { tls } = options
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    if (!room.admits(incoming.socket)) refuse(incoming, outgoing)
    else if (hasManyHosts(incoming)) outgoing.writeHead(400, { connection: 'close' }).end()
    else void listener(incoming, outgoing).catch(options.report)
  }
  const server: Server =
    tls === undefined
      ? createHttpServer(serverOptions, onRequest)
      : createHttpsServer({ ...serverOptions, ...tls, minVersion: 'TLSv1.2' }, onRequest)
  const room = keepRoom(server, {
    maxConnections: options.maxConnections,
    refusedConnections: options.refusedConnections ?? 0,
    refusedMs,
    event: tls === undefined ? 'connection' : 'secureConnection',
  })
  // The body is asked for once the headers are found good: see serveRoute.
  server.on('checkContinue', onRequest)
  server.on('error', options.report)
  server.setTimeout(options.idleMs)
  await startListening(server, options)
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${urlHost(options.host)}:${portOf(server)}`,
    close: (graceMs) => closeServer(server, graceMs),
  }
}

/** There are as many connections as the server serves: this one is told so, and ended. */
function refuse(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const problem = new Problem('server-busy', 'The server has as many connections as it takes.', {
    hint: `Try again in ${refusedRetrySeconds} s. The operator may allow more with --max-connections.`,
    retryAfterSeconds: refusedRetrySeconds,
  })
  if (isStillSent(incoming)) lingerOnClose(incoming)
  outgoing
    .writeHead(problem.telling.status, {
      connection: 'close',
      'content-type': problemContentType,
      'retry-after': String(refusedRetrySeconds),
    })
    .end(JSON.stringify(describeProblem(problem, randomUUID())))
}

/** RFC 9112, section 3.2: such a request is refused. Node takes the first host, and a proxy may take another one. */
function hasManyHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') hosts += 1
  return hosts > 1
}

async function startListening(server: Server, { host, port }: ListenOptions): Promise<void> {
  server.listen({ host, port, backlog: mostWaiting })
  try {
    await once(server, 'listening')
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? cause.code : String(cause)
    throw new Problem('configuration-invalid', `Cannot listen on ${host}, port ${port}: ${String(reason)}.`, {
      hint:
        reason === 'EADDRINUSE'
          ? 'Another program has this port. Stop it, or choose another one with --port.'
          : 'Check --host and --port. Ports below 1024 need special rights.',
      cause,
    })
  }
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close')
  // Idle connections end at once, others after their answer.
  server.close()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  try {
    await closed
  } finally {
    clearTimeout(timer)
  }
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return address.port
}

/** RFC 3986, section 3.2.2. */
function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
