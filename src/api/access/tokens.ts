import { randomBytes, webcrypto } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import { z } from 'zod'
import { Problem } from '../../problem.ts'
import type { Preferences } from '../../store/preferences.ts'

export interface IssuedToken {
  readonly token: string
  /** Tells one token from another; no secret. */
  readonly id: string
  /** How long it is good for, from now. */
  readonly durationMs: number
}

export interface VerifiedToken {
  /** Tells one token from another, however it is spelled. */
  readonly id: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** Whose it is; absent where it is the operator's. */
  readonly holder?: TokenHolder
}

/** The user who got a token, and the id of the key that he got it for: without that key it is void. */
export interface TokenHolder {
  readonly name: string
  readonly key: string
}

export interface Tokens {
  /** For the operator, or for a user. */
  issue(holder?: TokenHolder): Promise<IssuedToken>
  /** Throws Problem('token-invalid'), which never tells why. */
  verify(token: string | undefined): Promise<VerifiedToken>
}

export interface TokenOptions {
  readonly preferences: Preferences
  readonly lifetimeMs: number
  /** Milliseconds since 1970. */
  readonly now: () => number
}

const algorithm = 'HS256'
const issuer = 'molehill'
const audience = 'molehill'
const type = 'molehill-token+jwt'
const longestToken = 8192
const mostRemembered = 10_000

const claimsSchema = z.object({
  jti: z.string().min(1),
  exp: z.number(),
  pwv: z.int(),
  sub: z.string().min(1).optional(),
  key: z.string().min(1).optional(),
})
type Claims = z.infer<typeof claimsSchema>

/**
 * Tokens as signed JWTs (RFC 7519) by a key of this data directory, which is made at the first call. They outlive
 * restarts and end with their time or with a change of the password. Tokens that have passed once are remembered,
 * so that a request costs no signature check.
 */
export async function createTokens({ preferences, lifetimeMs, now }: TokenOptions): Promise<Tokens> {
  const key = await importKey(await keepTokenKey(preferences))
  const passwordVersion = () => preferences.current().password?.version ?? 0
  const remembered = new Map<string, Claims>()

  const check = async (token: string): Promise<Claims> => {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm],
      issuer,
      audience,
      typ: type,
      requiredClaims: ['jti', 'iat', 'exp', 'pwv'],
      currentDate: new Date(now()),
    })
    return claimsSchema.parse(payload)
  }

  return {
    async issue(holder) {
      const nowMs = now()
      const id = randomBytes(16).toString('base64url')
      const token = await new SignJWT({
        pwv: passwordVersion(),
        ...(holder !== undefined && { sub: holder.name, key: holder.key }),
      })
        .setProtectedHeader({ alg: algorithm, typ: type })
        .setIssuer(issuer)
        .setAudience(audience)
        .setJti(id)
        .setIssuedAt(Math.floor(nowMs / 1000))
        .setExpirationTime(Math.ceil((nowMs + lifetimeMs) / 1000))
        .sign(key)
      return { token, id, durationMs: lifetimeMs }
    },

    async verify(token) {
      if (token === undefined || token.length > longestToken || !isCanonical(token)) throw invalid()
      let claims = remembered.get(token)
      if (claims === undefined) {
        claims = await check(token).catch((error: unknown) => {
          throw error instanceof errors.JOSEError || error instanceof z.ZodError ? invalid() : error
        })
        if (remembered.size >= mostRemembered) forgetOldest(remembered)
        remembered.set(token, claims)
      }
      const expiresAt = claims.exp * 1000
      if (expiresAt <= now() || claims.pwv !== passwordVersion()) {
        remembered.delete(token)
        throw invalid()
      }
      const { jti: id, sub: name, key } = claims
      // One without the other was never given out.
      if ((name === undefined) !== (key === undefined)) throw invalid()
      return { id, expiresAt, ...(name !== undefined && key !== undefined && { holder: { name, key } }) }
    },
  }
}

function invalid(): Problem {
  return new Problem('token-invalid', 'This service requires a valid token', {
    hint: 'Ask for a new token with the password: POST /token.',
  })
}

/** jose also reads base64 with blanks and padding, which would give one token several spellings. */
function isCanonical(token: string): boolean {
  const parts = token.split('.', 4)
  return (
    parts.length === 3 &&
    parts.every((part) => part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part)
  )
}

function forgetOldest(remembered: Map<string, Claims>): void {
  const [oldest] = remembered.keys()
  if (oldest !== undefined) remembered.delete(oldest)
}

async function keepTokenKey(preferences: Preferences): Promise<string> {
  const kept = preferences.current().tokenKey
  if (kept !== undefined) return kept
  const made = randomBytes(32).toString('base64url')
  await preferences.update((current) => ({ ...current, tokenKey: made }))
  return made
}

function importKey(tokenKey: string): Promise<webcrypto.CryptoKey> {
  const bytes = Buffer.from(tokenKey, 'base64url')
  return webcrypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, [
    'sign',
    'verify',
  ])
}
