import { createServer, type Server } from 'node:http'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

/** An OpenID Connect provider on a free port of 127.0.0.1, with the client `molehill`, whose secret is `secret & more`. */
export interface TestIdentityProvider extends AsyncDisposable {
  readonly issuer: string
  /** A token as a user's program gets it: signed, or one that only the provider can read. */
  issueToken(subject: string, options?: TokenOptions): Promise<string>
  /** Requests that came, as `GET /jwks`. */
  readonly requests: string[]
  /** Takes a token back. */
  revoke(token: string): Promise<void>
  close(): Promise<void>
}

export interface TokenOptions {
  readonly format?: 'jwt' | 'opaque'
  readonly audience?: string
  readonly lifetimeSeconds?: number
}

export const clientId = 'molehill'
export const clientSecret = 'secret & more'
export const audience = 'https://molehill.example'

export async function startIdentityProvider(): Promise<TestIdentityProvider> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const key = { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'first' }
  const requests: string[] = []
  const server = createServer()
  const issuer = `http://127.0.0.1:${await listen(server)}`
  const resource = (options: TokenOptions) => ({
    scope: 'api',
    audience: options.audience ?? audience,
    accessTokenFormat: options.format ?? ('jwt' as const),
    jwt: { sign: { alg: 'RS256' as const } },
  })
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: ['https://molehill.example/callback'],
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ['a key for tests'] },
    ttl: { AccessToken: 3600, Grant: 3600 },
    features: {
      introspection: { enabled: true, allowedPolicy: () => true },
      devInteractions: { enabled: false },
    },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  })
  const answer = provider.callback()
  server.on('request', (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    void answer(request, response)
  })
  const close = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections()
      server.close(() => resolve())
    })
  return {
    issuer,
    requests,
    close,
    async issueToken(subject, options = {}) {
      const client = await provider.Client.find(clientId)
      if (client === undefined) throw new Error('The provider has no client.')
      const grant = new provider.Grant({ accountId: subject, clientId })
      grant.addResourceScope(options.audience ?? audience, 'api')
      const token = new provider.AccessToken({
        accountId: subject,
        client,
        grantId: await grant.save(),
        scope: 'api',
        gty: 'authorization_code',
        ...(options.lifetimeSeconds !== undefined && { expiresIn: options.lifetimeSeconds }),
      })
      token.resourceServer = new provider.ResourceServer(options.audience ?? audience, resource(options))
      return token.save()
    },
    async revoke(token) {
      await (await provider.AccessToken.find(token))?.destroy()
    },
    [Symbol.asyncDispose]: close,
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error('The server has no port.'))
      else resolve(address.port)
    })
  })
}
