import { Problem } from '../../problem.ts'
import type { Preferences } from '../../store/preferences.ts'
import type { PasswordHashing } from './password.ts'
import type { Throttle } from './throttle.ts'
import type { Users } from '../../users/contract.ts'
import { principalOf } from './authentication.ts'
import type { Principal } from './principal.ts'
import type { IssuedToken, Tokens } from './tokens.ts'

/** Gives a token for the password, or for the key of a user in its place. `address` is the client's, for counting wrong tries. */
export type Login = (password: string | undefined, address: string) => Promise<LoggedIn>

export interface LoggedIn extends IssuedToken {
  readonly principal: Principal
}

export interface LoginParts {
  readonly users: Pick<Users, 'byKey'>
  readonly preferences: Preferences
  readonly hashing: PasswordHashing
  readonly throttle: Throttle
  readonly tokens: Tokens
  /** Told the right password at each login: it may be the first that this start of the server gets to know it. */
  readonly passwordGiven?: (password: string) => void
}

/**
 * The one door for passwords, for every dialect. Throws Problem('password-missing'), ('password-wrong'),
 * ('password-throttled') and ('server-busy'); the messages of the first two are those of OpenMOLE 9.2.
 */
export function createLogin({
  preferences,
  users,
  hashing,
  throttle,
  tokens,
  passwordGiven,
}: LoginParts): Login {
  return async (password, address) => {
    if (password === undefined) throw new Problem('password-missing', 'No password sent with request')
    // A key cannot be guessed, and its hash costs nothing: who has one waits for nobody who guesses passwords.
    const known = users.byKey(password)
    if (known !== undefined) {
      const issued = await tokens.issue({ name: known.user.name, key: known.key.id })
      return { ...issued, principal: { ...principalOf(known), id: issued.id } }
    }
    const kept = preferences.current().password
    if (kept === undefined) throw new Problem('internal', 'This data directory has no password yet.')
    throttle.check(address)
    // Counted as wrong until it is right: guesses that are checked side by side get no extra try.
    const admit = () => {
      throttle.check(address)
      throttle.wrong(address)
    }
    if (!(await hashing.verify(password, kept.hash, admit)))
      throw new Problem('password-wrong', 'Server password is incorrect')
    throttle.right(address)
    passwordGiven?.(password)
    const issued = await tokens.issue()
    return { ...issued, principal: { kind: 'operator', id: issued.id } }
  }
}
