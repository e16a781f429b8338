import { createHash } from 'node:crypto'
import { decodeJwt } from 'jose'
import { Problem } from '../../problem.ts'
import type { User, Users } from '../../users/contract.ts'
import { keyPrefix } from '../../users/users.ts'
import type { IdentityProvider, VerifiedIdentity } from './identity-provider.ts'
import type { UserPrincipal } from './principal.ts'

/** Finds the users behind tokens of an OpenID Connect provider. */
export interface Identities {
  /**
   * The user who holds a token. Undefined where it is none of the provider's, or not good. Throws Problem not-allowed for
   * somebody who is no user here, and server-busy where the provider cannot be asked.
   */
  identify(token: string): Promise<UserPrincipal | undefined>
}

export interface IdentityParts {
  readonly provider: IdentityProvider
  readonly users: Pick<Users, 'byIdentity' | 'add'>
  /** Whether whoever the provider knows becomes a user when he is seen first. */
  readonly isAdding: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
}

const longestToken = 16_384
const mostRemembered = 10_000
/** So soon a key that the provider has withdrawn, or a token that it has revoked, is not good here any more. */
const signedForMs = 300_000
const introspectedForMs = 60_000
const refusedForMs = 10_000
const mostQuestions = 16

interface Known {
  readonly identity: VerifiedIdentity | undefined
  readonly untilMs: number
}

export function createIdentities({ provider, users, isAdding, now }: IdentityParts): Identities {
  const remembered = new Map<string, Known>()
  const asking = new Map<string, Promise<Known>>()

  const ask = async (token: string, kind: 'signed' | 'opaque'): Promise<Known> => {
    const identity = kind === 'signed' ? await provider.verify(token) : await provider.introspect(token)
    if (identity === undefined) return { identity, untilMs: now() + refusedForMs }
    const forMs = kind === 'signed' ? signedForMs : introspectedForMs
    return { identity, untilMs: Math.min(identity.expiresAt, now() + forMs) }
  }
  /** What the provider says, remembered for a while, and asked once by all who want to know. */
  const look = async (token: string, kind: 'signed' | 'opaque'): Promise<VerifiedIdentity | undefined> => {
    // Tokens themselves are not kept.
    const digest = digestOf(token)
    const known = remembered.get(digest)
    if (known !== undefined && known.untilMs > now()) return known.identity
    remembered.delete(digest)
    const others = asking.get(digest)
    if (others !== undefined) return (await others).identity
    if (asking.size >= mostQuestions)
      throw new Problem('server-busy', 'Too many tokens are being checked at the moment.', {
        retryAfterSeconds: 1,
      })
    const answer = ask(token, kind)
    asking.set(digest, answer)
    try {
      const found = await answer
      const [oldest] = remembered.keys()
      if (remembered.size >= mostRemembered && oldest !== undefined) remembered.delete(oldest)
      remembered.set(digest, found)
      return found.identity
    } finally {
      asking.delete(digest)
    }
  }
  const findUser = async (subject: string): Promise<User> => {
    const identity = { issuer: provider.issuer, subject }
    const known = users.byIdentity(identity)
    if (known !== undefined) return known
    if (!isAdding)
      throw new Problem(
        'not-allowed',
        `No user of this server is ${JSON.stringify(subject)} at ${provider.issuer}.`,
        { hint: `The operator can say who that is: molehill user change NAME --identity ISSUER SUBJECT` },
      )
    try {
      return await users.add(nameOf(identity), { identity })
    } catch (error) {
      // Seen first by two requests at once.
      const added = users.byIdentity(identity)
      if (added === undefined) throw error
      return added
    }
  }
  return {
    async identify(token) {
      const kind = token.length > longestToken ? undefined : kindOf(token, provider.issuer)
      const identity = kind === undefined ? undefined : await look(token, kind)
      if (identity === undefined) return undefined
      const { name, rights } = await findUser(identity.subject)
      return { kind: 'user', id: `oidc-${digestOf(token).slice(0, 16)}`, name, rights }
    },
  }
}

/** Tokens of this server and its keys, also void ones, are never shown to others. */
function kindOf(token: string, issuer: string): 'signed' | 'opaque' | undefined {
  if (token.startsWith(keyPrefix) || !/^[\x21-\x7e]{8,}$/.test(token)) return undefined
  if (token.split('.').length !== 3) return 'opaque'
  try {
    return decodeJwt(token).iss === issuer ? 'signed' : undefined
  } catch {
    return undefined
  }
}

/** What a provider calls somebody may be changed by him into a name that is another one's here. */
function nameOf(identity: { readonly issuer: string; readonly subject: string }): string {
  return `oidc-${digestOf(JSON.stringify([identity.issuer, identity.subject])).slice(0, 16)}`
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
