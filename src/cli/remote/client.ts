import { once } from 'node:events'
import {
  request as requestPlainly,
  type ClientRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { request as requestSecurely, type Agent } from 'node:https'
import { Problem } from '../../problem.ts'
import { createTrustingAgent, type Trust } from './certificate.ts'

/** Sends requests to one server. */
export interface Client {
  /** Answers with the response whatever its status; its body must be read or destroyed. */
  send(request: Request): Promise<IncomingMessage>
  close(): void
}

export interface Request {
  /** Relative to the address of the server: `state`. */
  readonly route: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal | undefined
}

/** Longest time in which nothing comes or goes. A start answers only when the server has read the script. */
const idleMs = 10 * 60_000

/**
 * A client for HTTP or HTTPS, as `url` says. Requests throw Problem('server-unreachable') when there is no answer,
 * and the reason of the signal.
 */
export function createClient(url: URL, trust: Trust): Client {
  const agent: Agent | undefined = url.protocol === 'https:' ? createTrustingAgent(trust) : undefined
  return {
    async send({ route, headers = {}, body, signal }) {
      const options: RequestOptions = { method: 'POST', headers, signal, timeout: idleMs }
      try {
        return await exchange(new URL(route, url), agent, options, body)
      } catch (error) {
        signal?.throwIfAborted()
        throw unreachable(error, url)
      }
    },
    close: () => agent?.destroy(),
  }
}

async function exchange(
  url: URL,
  agent: Agent | undefined,
  options: RequestOptions,
  body: string | AsyncIterable<Uint8Array>,
): Promise<IncomingMessage> {
  const request =
    agent === undefined ? requestPlainly(url, options) : requestSecurely(url, { ...options, agent })
  request.on('timeout', () => request.destroy(new Error('the server fell silent')))
  // Errors arrive by the promises below; those after them have nobody to tell.
  request.on('error', () => undefined)
  const answered = once(request, 'response').then(([response]: IncomingMessage[]) => response)
  if (typeof body === 'string') request.end(body)
  else void upload(body, request)
  const response = await answered
  if (response === undefined) throw new Error('no answer')
  return response
}

/** Never rejects: an error of the body becomes the request's. */
async function upload(body: AsyncIterable<Uint8Array>, request: ClientRequest): Promise<void> {
  // A server may refuse before it has taken everything: then its answer is what counts.
  const over = new AbortController()
  for (const event of ['response', 'close']) request.once(event, () => over.abort())
  try {
    for await (const chunk of body) {
      if (over.signal.aborted) return
      if (!request.write(chunk)) await once(request, 'drain', over).catch(() => undefined)
    }
    if (!over.signal.aborted) request.end()
  } catch (error) {
    request.destroy(new BodyError('the body of the request broke off', { cause: error }))
  }
}

/** What came to be sent went wrong: no fault of the server. */
class BodyError extends Error {}

/** Why a server could not be talked to: a problem in words, or what came to be sent when that was at fault. */
export function unreachable(error: unknown, url: URL): unknown {
  if (error instanceof BodyError) return error.cause
  const cause = rootOf(error)
  if (cause instanceof Problem) return cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'there is no computer of that name',
    EAI_AGAIN: 'its name cannot be looked up at the moment',
    ECONNRESET: 'it ended the connection',
    EPROTO: 'it does not speak HTTPS there',
  }
  const reason = reasons[code] ?? (cause instanceof Error && cause.message !== '' ? cause.message : code)
  return new Problem('server-unreachable', `The server ${url.origin} cannot be reached: ${reason}.`, {
    cause: error,
    hint: 'Is it running? Name another one with --server.',
  })
}

/** What went wrong while an answer was read: a problem when the connection broke, else the error as it is. */
export function describeBreak(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'ECONNRESET' && code !== 'ERR_STREAM_PREMATURE_CLOSE') return error
  return new Problem('server-unreachable', 'The answer of the server broke off.', {
    cause: error,
    hint: 'Try again. If it happens again, the log of the server says why.',
  })
}

/** Node bundles the failures of all addresses of a name. */
function rootOf(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? rootOf(error.errors[0]) : error
}
