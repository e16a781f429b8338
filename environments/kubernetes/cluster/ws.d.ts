/** What is used of the package `ws` 8. */
declare module 'ws' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingMessage } from 'node:http'
  import type { SecureContextOptions } from 'node:tls'

  export interface ClientOptions extends SecureContextOptions {
    readonly headers?: Readonly<Record<string, string>>
    readonly servername?: string
    readonly rejectUnauthorized?: boolean
    readonly perMessageDeflate?: boolean
    readonly handshakeTimeout?: number
    readonly closeTimeout?: number
    readonly maxPayload?: number
  }

  interface Events {
    open: []
    close: [code: number, reason: Buffer]
    error: [error: Error]
    message: [data: Buffer, isBinary: boolean]
    'unexpected-response': [request: unknown, response: IncomingMessage]
  }

  export class WebSocket extends EventEmitter<Events> {
    constructor(address: string, protocols: readonly string[], options: ClientOptions)
    readonly protocol: string
    send(data: Buffer, told: (error?: Error) => void): void
    pause(): void
    resume(): void
    close(code?: number): void
    terminate(): void
  }
}
