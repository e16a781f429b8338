import { join } from 'node:path'
import { createIdentities, type Identities } from '../api/access/identities.ts'
import { createIdentityProvider } from '../api/access/identity-provider.ts'
import { createLogin } from '../api/access/login.ts'
import { obtainPassword } from '../api/access/obtain-password.ts'
import { createPasswordHashing } from '../api/access/password.ts'
import { readPasswordFile } from '../api/access/password-file.ts'
import type { Prompt } from '../api/access/prompt.ts'
import { createThrottle } from '../api/access/throttle.ts'
import { createTokens } from '../api/access/tokens.ts'
import type { Configuration } from '../config/options.ts'
import { writeFileDurably } from '../files/durable-file.ts'
import { Problem } from '../problem.ts'
import { openPreferences, secretsIn } from '../store/preferences.ts'
import { createSecrets } from '../store/secrets.ts'
import type { UserQuota, Users } from '../users/contract.ts'
import { createUsers } from '../users/users.ts'

/** The limits of users who have none of their own. Zero means that there is no limit. */
export function defaultQuota(configuration: Configuration): UserQuota {
  const { userStoredBytes, userRunningJobs, userQueuedJobs } = configuration
  return {
    ...(userStoredBytes > 0 && { storedBytes: userStoredBytes }),
    ...(userRunningJobs > 0 && { runningJobs: userRunningJobs }),
    ...(userQueuedJobs > 0 && { queuedJobs: userQueuedJobs }),
  }
}

export type Access = Awaited<ReturnType<typeof openAccess>>

/** Opens all that says who may use the server, and asks for its first password where there is none. */
export async function openAccess(
  configuration: Configuration,
  prompt: Prompt | undefined,
  now: () => number,
) {
  const { dataDirectory, passwordFile, tokenLifetimeMs } = configuration
  const preferences = await openPreferences(join(dataDirectory, 'preferences.json'), writeFileDurably)
  const hashing = createPasswordHashing()
  const { isNew, password } = await obtainPassword({ preferences, hashing, passwordFile, prompt })
  const secrets = createSecrets(secretsIn(preferences), password)
  if (password !== undefined) await secrets.checkPassword()
  const tokens = await createTokens({ preferences, lifetimeMs: tokenLifetimeMs, now })
  const users = createUsers(preferences, now)
  const login = createLogin({
    preferences,
    users,
    hashing,
    tokens,
    throttle: createThrottle(now),
    passwordGiven: (text) => secrets.unlock(text),
  })
  const identities = await openIdentities(configuration, users, now)
  return { preferences, secrets, tokens, login, users, identities, isPasswordNew: isNew }
}

async function openIdentities(
  { oidcIssuer, oidcAudience, oidcClient, oidcSecretFile, oidcNewUsers }: Configuration,
  users: Users,
  now: () => number,
): Promise<Identities | undefined> {
  requireTogether('oidc-issuer', oidcIssuer, 'oidc-audience', oidcAudience)
  requireTogether('oidc-client', oidcClient, 'oidc-secret-file', oidcSecretFile)
  if (oidcIssuer === undefined || oidcAudience === undefined) return undefined
  const client =
    oidcClient === undefined || oidcSecretFile === undefined
      ? undefined
      : { id: oidcClient, secret: await readPasswordFile(oidcSecretFile) }
  const provider = createIdentityProvider({
    issuer: oidcIssuer,
    audience: oidcAudience,
    ...(client !== undefined && { client }),
    now,
  })
  return createIdentities({ provider, users, isAdding: oidcNewUsers, now })
}

function requireTogether(one: string, value: unknown, other: string, otherValue: unknown): void {
  if ((value === undefined) === (otherValue === undefined)) return
  const [given, missing] = value === undefined ? [other, one] : [one, other]
  throw new Problem('configuration-invalid', `Expected --${missing} with --${given}, got none.`)
}
