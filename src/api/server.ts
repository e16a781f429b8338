import { getRequestListener } from '@hono/node-server'
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
import type { TlsIdentity } from './tls.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Absent for plain HTTP. */
  readonly tls?: Pick<TlsIdentity, 'cert' | 'key'>
  readonly maxConnections: number
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
    maxHeaderSize: mostHeaderBytes,
  }
  const { tls } = options
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    if (hasManyHosts(incoming)) outgoing.writeHead(400, { connection: 'close' }).end()
    else void listener(incoming, outgoing).catch(options.report)
  }
  const server: Server =
    tls === undefined
      ? createHttpServer(serverOptions, onRequest)
      : createHttpsServer({ ...serverOptions, ...tls, minVersion: 'TLSv1.2' }, onRequest)
  // The body is asked for once the headers are found good: see serveRoute.
  server.on('checkContinue', onRequest)
  server.on('error', options.report)
  server.maxConnections = options.maxConnections
  server.setTimeout(options.idleMs)
  await startListening(server, options)
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${urlHost(options.host)}:${portOf(server)}`,
    close: (graceMs) => closeServer(server, graceMs),
  }
}

/** RFC 9112, section 3.2: such a request is refused. Node takes the first host, and a proxy may take another one. */
function hasManyHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') hosts += 1
  return hosts > 1
}

async function startListening(server: Server, { host, port }: ListenOptions): Promise<void> {
  server.listen({ host, port })
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
