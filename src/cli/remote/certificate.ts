import { once } from 'node:events'
import { Agent } from 'node:https'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { Problem } from '../../problem.ts'

/** Which certificate of a server is accepted. */
export type Trust =
  /** One that an authority of this computer vouches for. */
  | { readonly kind: 'authorities' }
  /** This one and no other, whoever vouches for it. SHA-256, in hexadecimal pairs with colons. */
  | { readonly kind: 'fingerprint'; readonly fingerprint: string }
  /** Any: whoever sits on the way can read along. */
  | { readonly kind: 'anything' }

const connectTimeoutMs = 15_000

/** Looks at a server's certificate without sending anything. */
export async function lookAtCertificate(
  url: URL,
): Promise<{ readonly fingerprint: string; readonly isVouchedFor: boolean }> {
  const socket = connect(connectionOptions(url))
  try {
    await secured(socket)
    return { fingerprint: fingerprintOf(socket), isVouchedFor: socket.authorized }
  } finally {
    socket.destroy()
  }
}

/** Connections to one server, each checked before a byte of a request is sent. */
export function createTrustingAgent(trust: Trust): Agent {
  return new TrustingAgent(trust)
}

class TrustingAgent extends Agent {
  readonly #trust: Trust

  constructor(trust: Trust) {
    super({ keepAlive: true, maxSockets: 4 })
    this.#trust = trust
  }

  override createConnection(
    options: ConnectionOptions,
    created?: (error: Error | null, socket: TLSSocket) => void,
  ): undefined {
    const socket = connect({ ...options, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    void this.#check(socket).then(
      () => created?.(null, socket),
      (error: Error) => created?.(error, socket),
    )
    return undefined
  }

  async #check(socket: TLSSocket): Promise<void> {
    try {
      await secured(socket)
      checkTrust(socket, this.#trust)
    } catch (error) {
      socket.destroy()
      throw error
    }
  }
}

function checkTrust(socket: TLSSocket, trust: Trust): void {
  if (trust.kind === 'anything') return
  const fingerprint = fingerprintOf(socket)
  if (trust.kind === 'authorities') {
    if (socket.authorized) return
    throw new Problem(
      'server-unreachable',
      `Nobody vouches for the certificate of the server: ${String(socket.authorizationError)}.`,
      {
        hint: 'Pass the fingerprint that the server prints when it starts: `molehill token --fingerprint ...`.',
      },
    )
  }
  if (sameFingerprint(fingerprint, trust.fingerprint)) return
  throw new Problem(
    'server-unreachable',
    `The certificate of the server is not the one that is trusted: it has ${fingerprint}, expected ${trust.fingerprint}.`,
    {
      hint:
        'Somebody may sit between you and the server. If its certificate was renewed, compare the fingerprint with ' +
        'what the server prints at its start, and pass it to `molehill token --fingerprint`.',
    },
  )
}

export function sameFingerprint(one: string, other: string): boolean {
  const plain = (fingerprint: string) => fingerprint.replaceAll(/[^0-9a-f]/gi, '').toUpperCase()
  return plain(one) === plain(other) && plain(one).length === 64
}

function fingerprintOf(socket: TLSSocket): string {
  return socket.getPeerCertificate().fingerprint256
}

function connectionOptions(url: URL): ConnectionOptions {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  // A server name must be a name: RFC 6066 section 3 knows no addresses.
  const isAddress = /^[\d.]+$|:/.test(host)
  return {
    host,
    port: Number(url.port || 443),
    rejectUnauthorized: false,
    ...(isAddress ? {} : { servername: host }),
  }
}

async function secured(socket: TLSSocket): Promise<void> {
  // The listener stays: an error after this one would otherwise end the process.
  socket.on('error', () => undefined)
  const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), connectTimeoutMs)
  try {
    await once(socket, 'secureConnect')
  } finally {
    clearTimeout(timer)
  }
}
