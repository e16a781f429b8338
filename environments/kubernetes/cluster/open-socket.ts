import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { Access } from './access.ts'
import { ApiError, errorOfAnswer } from './api-errors.ts'
import { queryText, type ApiRequest, type Connection } from './connection.ts'
import { limited, orAborted } from './limited.ts'

/** The one that lets standard input end, and what servers before 1.30 speak. */
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io']
const handshakeMs = 30_000
const closeMs = 5000
const mostMessageBytes = 32 * 2 ** 20
const mostRefusalBytes = 64 * 1024

/**
 * An open web socket of the API server, which nobody reads yet. Throws ApiError with the server's words where it
 * refuses. The caller ends it, and listens to `close`; errors are followed by that.
 */
export async function openSocket(
  connection: Connection,
  request: Pick<ApiRequest, 'path' | 'query'>,
  signal: AbortSignal,
): Promise<WebSocket> {
  const limit = limited(signal, handshakeMs)
  try {
    const access = await connection.access(limit.signal)
    try {
      return await shake(access, request, limit.signal)
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error
      return await shake(await connection.access(limit.signal, access), request, limit.signal)
    }
  } catch (error) {
    throw connection.explain(error, signal, limit.isOver())
  } finally {
    limit.done()
  }
}

async function shake(
  access: Access,
  { path, query }: Pick<ApiRequest, 'path' | 'query'>,
  signal: AbortSignal,
): Promise<WebSocket> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>()
  const url = `${access.server.replace(/^https:/, 'wss:')}${path}${queryText(query)}`
  const socket = new WebSocket(url, protocols, {
    ...access.tls,
    headers: { ...access.headers, 'user-agent': 'molehill' },
    perMessageDeflate: false,
    handshakeTimeout: handshakeMs,
    closeTimeout: closeMs,
    maxPayload: mostMessageBytes,
  })
  // It stays, so that no error of a socket is ever without a listener.
  socket.on('error', reject)
  socket.once('open', () => {
    socket.pause()
    resolve(socket)
  })
  socket.once('close', () => reject(new Error('the connection was closed before it was open')))
  socket.once('unexpected-response', (_, response) => {
    refusalOf(response, access.server)
      .then(reject, reject)
      .finally(() => socket.terminate())
  })
  try {
    return await orAborted(promise, signal)
  } catch (error) {
    socket.terminate()
    throw error
  }
}

async function refusalOf(response: IncomingMessage, address: string): Promise<ApiError> {
  let text = ''
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      text += chunk.toString('utf8')
      if (text.length > mostRefusalBytes) break
    }
  } catch {
    // What came so far must do.
  }
  const status = response.statusCode ?? 0
  return errorOfAnswer({ status, text, retryAfter: response.headers['retry-after'] }, address)
}
