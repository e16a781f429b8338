import { Problem } from '../../problem.ts'
import type { KnownUser, Users } from '../../users/contract.ts'
import type { Identities } from './identities.ts'
import type { Principal, UserPrincipal } from './principal.ts'
import { addressKey, type RequestLimiter } from './request-limiter.ts'
import type { Tokens } from './tokens.ts'

/** Finds out who is behind what a request carries. The one door for tokens and keys, for every dialect. */
export interface Authentication {
  /**
   * Who holds a token that the server or the provider of identities has given out, or a user's key. Throws Problem
   * token-invalid, and what `Identities.identify` throws.
   */
  identify(token: string | undefined): Promise<Principal>
  /**
   * Whose key it is, for protocols that take keys only. `address` is the client's: who sends wrong keys again and again
   * is told to wait. Throws Problem token-invalid, requests-throttled.
   */
  byKey(key: string | undefined, address: string): UserPrincipal
}

export interface AuthenticationParts {
  readonly users: Pick<Users, 'byKey' | 'find'>
  readonly tokens: Pick<Tokens, 'verify'>
  /** Users of an OpenID Connect provider; none without. */
  readonly identities?: Identities | undefined
  /** Counts wrong keys by address. */
  readonly wrongTries: RequestLimiter
}

export function createAuthentication({
  users,
  tokens,
  identities,
  wrongTries,
}: AuthenticationParts): Authentication {
  return {
    async identify(token) {
      const known = token === undefined ? undefined : users.byKey(token)
      if (known !== undefined) return principalOf(known)
      const identified = token === undefined ? undefined : await identities?.identify(token)
      if (identified !== undefined) return identified
      const { id, holder } = await tokens.verify(token)
      if (holder === undefined) return { kind: 'operator', id }
      const user = users.find(holder.name)
      // With its key or its user gone, a token is void.
      if (user === undefined || user.keys.every((key) => key.id !== holder.key)) throw tokenInvalid()
      return { kind: 'user', id, name: user.name, rights: user.rights }
    },
    byKey(key, address) {
      const known = key === undefined ? undefined : users.byKey(key)
      if (known !== undefined) return principalOf(known)
      if (key !== undefined) wrongTries.take(addressKey(address))
      throw new Problem('token-invalid', 'This service requires a valid key', {
        hint: 'Ask the operator of the server for one: molehill user key NAME',
      })
    },
  }
}

function tokenInvalid(): Problem {
  return new Problem('token-invalid', 'This service requires a valid token', {
    hint: 'Ask for a new token with the key: POST /token with it as the password.',
  })
}

/** A user who sends his key itself. */
export function principalOf({ user: { name, rights }, key }: KnownUser): UserPrincipal {
  return { kind: 'user', id: key.id, name, rights }
}
