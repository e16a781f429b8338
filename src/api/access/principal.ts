import { Problem } from '../../problem.ts'
import type { UserRights } from '../../users/contract.ts'

/** Who sent a request. `id` tells one credential from another, for the audit log; it is no secret. */
export type Principal = OperatorPrincipal | UserPrincipal | Nobody

/** Who knows the server's password: sees and touches all. */
export interface OperatorPrincipal {
  readonly kind: 'operator'
  readonly id: string
}

/** Sees and touches what is his own. */
export interface UserPrincipal {
  readonly kind: 'user'
  readonly id: string
  readonly name: string
  readonly rights: UserRights
}

/** Whoever came to an open route. */
export interface Nobody {
  readonly kind: 'nobody'
  readonly id: ''
}

export const nobody: Nobody = { kind: 'nobody', id: '' }

/** Whose the things are that a principal makes: a user's name, or empty for the operator. Throws Problem token-invalid. */
export function ownerOf(principal: Principal): string {
  switch (principal.kind) {
    case 'operator':
      return ''
    case 'user':
      return principal.name
    case 'nobody':
      throw new Problem('token-invalid', 'This service requires a valid token')
  }
}

/** What stands for a principal where requests are counted: a user's keys count together. */
export function limiterKey(principal: Principal): string {
  return principal.kind === 'user' ? `user ${principal.name}` : `token ${principal.id}`
}

/** Throws Problem not-allowed for everybody but the operator. */
export function requireOperator(principal: Principal, what: string): void {
  if (principal.kind === 'operator') return
  throw new Problem('not-allowed', `${what} is for the operator of the server.`, {
    hint: 'Log in with the password of the server, or ask its operator.',
  })
}

/** Throws Problem not-allowed for a user who may start nothing but workflows of the catalog, as they are. */
export function requireOwnWorkflows(principal: Principal, message = onlyCatalog): void {
  if (principal.kind === 'operator') return
  if (principal.kind === 'user' && principal.rights.workflows === 'any') return
  throw new Problem('not-allowed', message, {
    hint: 'Ask the operator for more: molehill user change NAME --workflows any',
  })
}

const onlyCatalog = 'This user may start workflows of the catalog only.'
