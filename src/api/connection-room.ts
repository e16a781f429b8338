import type { Server } from 'node:http'
import type { Socket } from 'node:net'

export interface ConnectionRoomOptions {
  readonly maxConnections: number
  /** How many more are taken only to be told to come again; what comes beyond these is cut. */
  readonly refusedConnections: number
  /** How long one of these may be silent. */
  readonly refusedMs: number
  /** Event of the server that brings the connections of its requests: other ones with TLS. */
  readonly event: 'connection' | 'secureConnection'
}

/** Says of each connection whether there is room for it. */
export interface ConnectionRoom {
  /** Asked when a request has come: one that came too late is served after all where another one has gone. */
  admits(connection: Socket): boolean
}

/** Keeps a server from having more connections than it serves, in a way that lets it say so to the others. */
export function keepRoom(server: Server, options: ConnectionRoomOptions): ConnectionRoom {
  const { maxConnections, refusedConnections, refusedMs, event } = options
  const refused = new Map<Socket, NodeJS.Timeout>()
  let served = 0
  server.maxConnections = maxConnections + refusedConnections

  const serve = (connection: Socket): void => {
    served += 1
    connection.once('close', () => (served -= 1))
  }
  server.on(event, (connection: Socket) => {
    if (served < maxConnections) {
      serve(connection)
      return
    }
    refused.set(
      connection,
      setTimeout(() => connection.destroy(), refusedMs),
    )
    connection.once('close', () => {
      clearTimeout(refused.get(connection))
      refused.delete(connection)
    })
  })

  return {
    admits(connection) {
      const timer = refused.get(connection)
      if (timer === undefined) return true
      if (served >= maxConnections) return false
      clearTimeout(timer)
      refused.delete(connection)
      serve(connection)
      return true
    },
  }
}
