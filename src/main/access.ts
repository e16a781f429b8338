import { join } from 'node:path'
import { createLogin } from '../api/access/login.ts'
import { obtainPassword } from '../api/access/obtain-password.ts'
import { createPasswordHashing } from '../api/access/password.ts'
import type { Prompt } from '../api/access/prompt.ts'
import { createThrottle } from '../api/access/throttle.ts'
import { createTokens } from '../api/access/tokens.ts'
import type { Configuration } from '../config/options.ts'
import { writeFileDurably } from '../files/durable-file.ts'
import { openPreferences, secretsIn } from '../store/preferences.ts'
import { createSecrets } from '../store/secrets.ts'
import type { UserQuota } from '../users/contract.ts'
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
  return { preferences, secrets, tokens, login, users, isPasswordNew: isNew }
}
