import type { IncomingMessage } from 'node:http'

const lingerMs = 10_000
const lingerBytes = 256 * 2 ** 20

/** Whether a request has a body of which not all has come yet. */
export function isStillSent(incoming: IncomingMessage): boolean {
  const { 'transfer-encoding': coding, 'content-length': length } = incoming.headers
  return !incoming.complete && (coding !== undefined || Number(length ?? 0) > 0)
}

/**
 * Prepares the connection of a request that is answered before it was sent to its end: after the answer only our half
 * is closed, and what still comes is thrown away for a while. Closing at once would reset the connection, and the
 * client might lose the answer (RFC 9112, section 9.6).
 */
export function lingerOnClose(incoming: IncomingMessage): void {
  const { socket } = incoming
  const destroySoon = socket.destroySoon.bind(socket)
  // Node calls this once an answer with "Connection: close" has left.
  socket.destroySoon = () => {
    socket.destroySoon = destroySoon
    socket.end()
    let bytes = 0
    const timer = setTimeout(() => socket.destroy(), lingerMs)
    socket.once('close', () => clearTimeout(timer))
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > lingerBytes) socket.destroy()
    })
    incoming.on('error', () => undefined)
    incoming.once('end', () => socket.destroySoon())
    incoming.resume()
  }
}
