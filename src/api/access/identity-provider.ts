import { createRemoteJWKSet, customFetch, errors, jwtVerify, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import { Problem } from '../../problem.ts'

/** What an OpenID Connect provider says of a token: who holds it. */
export interface VerifiedIdentity {
  readonly subject: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** One OpenID Connect provider. What it is asked for is fetched when it is needed first. */
export interface IdentityProvider {
  readonly issuer: string
  /** Checks a signed token of this issuer. Undefined where it is not good; throws Problem server-busy where nobody can tell. */
  verify(token: string): Promise<VerifiedIdentity | undefined>
  /** Asks the provider about a token that only it can read. As `verify`. */
  introspect(token: string): Promise<VerifiedIdentity | undefined>
}

export interface ProviderOptions {
  /** As its tokens name it: a URL. */
  readonly issuer: string
  /** Whom its tokens must be meant for. */
  readonly audience: string
  /** What this server may ask about tokens with; without, it asks about none. */
  readonly client?: { readonly id: string; readonly secret: string }
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly fetch?: typeof fetch
}

/** Signatures by key pairs only: with a shared secret, whoever checks tokens could make them. */
const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]
const timeoutMs = 10_000
const clockToleranceSeconds = 5
/** How soon after a failure the provider is asked again where it is. */
const discoveryPauseMs = 5000
const longestAnswer = 2 ** 20

/** OpenID Connect Discovery 1.0, section 3. */
const discoverySchema = z.looseObject({
  issuer: z.string(),
  jwks_uri: z.url(),
  introspection_endpoint: z.url().optional(),
})

const claimsSchema = z.object({ sub: z.string().min(1).max(255), exp: z.number() })

/** RFC 7662, section 2.2. */
const introspectionSchema = z.looseObject({
  active: z.boolean(),
  sub: z.string().min(1).max(255).optional(),
  iss: z.string().optional(),
  exp: z.number().optional(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  client_id: z.string().optional(),
})

interface Discovered {
  readonly keys: JWTVerifyGetKey
  readonly introspectionEndpoint: string | undefined
}

/** Throws Problem configuration-invalid for an issuer that is no address, or one that anybody on the way could be. */
export function createIdentityProvider(options: ProviderOptions): IdentityProvider {
  const { issuer, audience, client, now, fetch: fetchOf = fetch } = options
  checkAddress(issuer)
  const request = async (url: string, init: RequestInit): Promise<unknown> => {
    const answer = await fetchOf(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`)
    return JSON.parse(await readBounded(answer))
  }
  const discover = async (): Promise<Discovered> => {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const found = discoverySchema.parse(await request(url, { headers: { accept: 'application/json' } }))
    // Section 4.3: what says to be another issuer speaks for that one only.
    if (found.issuer !== issuer) throw new Error(`${url} is of the issuer ${found.issuer.slice(0, 200)}`)
    checkAddress(found.jwks_uri)
    if (found.introspection_endpoint !== undefined) checkAddress(found.introspection_endpoint)
    return {
      keys: createRemoteJWKSet(new URL(found.jwks_uri), {
        timeoutDuration: timeoutMs,
        [customFetch]: (address, init) => fetchOf(address, { ...init, redirect: 'error' }),
      }),
      introspectionEndpoint: found.introspection_endpoint,
    }
  }
  const discovered = createOnce(discover, now)

  return {
    issuer,
    async verify(token) {
      const { keys } = await discovered().catch(unreachable)
      try {
        const { payload } = await jwtVerify(token, keys, {
          algorithms,
          issuer,
          audience,
          requiredClaims: ['sub', 'exp'],
          clockTolerance: clockToleranceSeconds,
          currentDate: new Date(now()),
        })
        const { sub, exp } = claimsSchema.parse(payload)
        return { subject: sub, expiresAt: exp * 1000 }
      } catch (error) {
        if (isRefusal(error)) return undefined
        return unreachable(error)
      }
    },
    async introspect(token) {
      if (client === undefined) return undefined
      const { introspectionEndpoint } = await discovered().catch(unreachable)
      if (introspectionEndpoint === undefined) return undefined
      const answer = await request(introspectionEndpoint, {
        method: 'POST',
        headers: { authorization: basic(client), accept: 'application/json' },
        body: new URLSearchParams({ token, token_type_hint: 'access_token' }),
      }).catch(unreachable)
      const read = introspectionSchema.safeParse(answer)
      if (!read.success || !read.data.active) return undefined
      const { sub, iss, exp, aud, client_id: holder } = read.data
      if (sub === undefined || (iss !== undefined && iss !== issuer)) return undefined
      // A token that is meant for nobody in particular is meant for the program that got it.
      if (![aud ?? holder ?? []].flat().includes(audience)) return undefined
      return { subject: sub, expiresAt: exp === undefined ? now() : exp * 1000 }
    },
  }
}

/** The provider has not said, or not in a way that can be read, which keys it signs with. */
const providerFaults: ReadonlySet<string> = new Set([
  'ERR_JOSE_GENERIC',
  'ERR_JWKS_INVALID',
  'ERR_JWKS_TIMEOUT',
])

/** Whether something is wrong with the token, or with how it is signed. */
function isRefusal(error: unknown): boolean {
  if (error instanceof z.ZodError) return true
  return error instanceof errors.JOSEError && !providerFaults.has(error.code)
}

function unreachable(cause: unknown): never {
  throw new Problem('server-busy', 'The provider of identities cannot be asked now.', {
    cause,
    hint: 'Try again, or use a key of this server.',
    retryAfterSeconds: 10,
  })
}

/** RFC 6749, section 2.3.1: both are encoded as in forms. */
function basic({ id, secret }: NonNullable<ProviderOptions['client']>): string {
  const encode = (text: string) => new URLSearchParams({ text }).toString().slice('text='.length)
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`
}

async function readBounded(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length
    if (bytes > longestAnswer) throw new Error(`${answer.url} answered with more than ${longestAnswer} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Does something once for all who ask, and again a while after it has failed. */
function createOnce<Value>(make: () => Promise<Value>, now: () => number): () => Promise<Value> {
  let made: Promise<Value> | undefined
  let failedAt: number | undefined
  return () => {
    if (failedAt !== undefined && Math.abs(now() - failedAt) >= discoveryPauseMs) {
      made = undefined
      failedAt = undefined
    }
    if (made === undefined) {
      made = make()
      made.catch(() => (failedAt = now()))
    }
    return made
  }
}

function checkAddress(address: string): void {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const isLocal =
    url?.hostname === 'localhost' ||
    url?.hostname === '[::1]' ||
    /^127(?:\.\d{1,3}){3}$/.test(url?.hostname ?? '')
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal)) return
  throw new Problem(
    'configuration-invalid',
    `Expected an https address of the provider of identities, got ${JSON.stringify(address.slice(0, 200))}.`,
  )
}
