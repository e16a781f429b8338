import { Problem } from '../../problem.ts'
import type { Preferences } from '../../store/preferences.ts'
import { rewrapSecrets } from '../../store/secrets.ts'
import { isPossiblePassword, longestPassword, type PasswordHashing } from './password.ts'
import { readPasswordFile } from './password-file.ts'
import type { Prompt } from './prompt.ts'

export interface PasswordSources {
  readonly preferences: Preferences
  readonly hashing: PasswordHashing
  /** Path of `--password-file`. */
  readonly passwordFile: string | undefined
  /** Absent where there is no terminal. */
  readonly prompt: Prompt | undefined
}

export interface ObtainedPassword {
  /** Whether this start set it. */
  readonly isNew: boolean
  /** Absent where nobody gave it and none was needed. */
  readonly password: string | undefined
}

/**
 * Makes sure that the data directory has a password. The first start sets the one of the file, or else asks for it
 * twice; later starts check the file's against the kept one when a file is given, and need none unless secrets are
 * kept: then they ask for it.
 *
 * Throws Problem('password-missing') when there is nowhere to get it from, Problem('password-wrong') when what was
 * given differs from the kept one, and Problem('configuration-invalid') for a file that is refused.
 */
export async function obtainPassword(sources: PasswordSources): Promise<ObtainedPassword> {
  const { preferences, hashing, passwordFile, prompt } = sources
  const inFile = passwordFile === undefined ? undefined : await readPasswordFile(passwordFile)
  const { password: kept, secrets } = preferences.current()
  if (kept === undefined) {
    const password = inFile ?? (await askTwice(prompt))
    await changePassword(sources, password)
    return { isNew: true, password }
  }
  const hasSecrets = Object.keys(secrets?.entries ?? {}).length > 0
  const given = inFile ?? (hasSecrets ? await askForSecrets(prompt) : undefined)
  if (given !== undefined && !(await hashing.verify(given, kept.hash)))
    throw new Problem('password-wrong', 'The password does not match the one of this data directory.', {
      hint:
        'Start without --password-file to keep the old one. To change it, stop the server and run ' +
        '`molehill password` with the same --data-directory; tokens given out before are then void.',
    })
  return { isNew: false, password: given }
}

/** Executions may wait for a place whose secrets are kept: without the password they would fail. */
async function askForSecrets(prompt: Prompt | undefined): Promise<string> {
  if (prompt !== undefined) return prompt('Password of this server, for the secrets that it keeps: ')
  throw new Problem('password-missing', 'This data directory keeps secrets, which only the password opens.', {
    hint: 'Write it into a file of mode 0600 and start with --password-file.',
  })
}

/**
 * Sets the password, or another one; tokens given out before are void from then on. Secrets that are kept under the
 * old password go over to the new one in the same write: `askOld` is asked for the old one only where there are some.
 * Throws Problem password-missing or password-wrong when they cannot be opened; then nothing has changed.
 */
export async function changePassword(
  { preferences, hashing }: Pick<PasswordSources, 'preferences' | 'hashing'>,
  password: string,
  askOld?: () => Promise<string>,
): Promise<void> {
  if (!isPossiblePassword(password))
    throw new Problem(
      'parameter-invalid',
      `Expected a password of 1 to ${longestPassword} letters, got ${password.length}${password.includes('\0') ? ' with a NUL among them' : ''}.`,
    )
  const { secrets } = preferences.current()
  const hasSecrets = Object.keys(secrets?.entries ?? {}).length > 0
  // A key to nothing is made anew when it is needed.
  const rewrapped =
    secrets !== undefined && hasSecrets
      ? await rewrapSecrets(secrets, await oldPassword(askOld), password)
      : undefined
  const hash = await hashing.hash(password)
  await preferences.update(({ secrets: _old, ...current }) => ({
    ...current,
    ...(rewrapped !== undefined && { secrets: rewrapped }),
    password: { hash, version: (current.password?.version ?? 0) + 1 },
  }))
}

async function oldPassword(askOld: (() => Promise<string>) | undefined): Promise<string> {
  if (askOld !== undefined) return askOld()
  throw new Problem('password-missing', 'This data directory keeps secrets under the old password.', {
    hint: 'Give that too, with --old-password-file: the secrets go over to the new one.',
  })
}

/** Asks for a new password until it was typed twice alike, three times at most. */
export async function askTwice(prompt: Prompt | undefined): Promise<string> {
  if (prompt === undefined)
    throw new Problem(
      'password-missing',
      'No password is set yet, and there is no terminal to ask for one.',
      {
        hint: 'Write it into a file of mode 0600 and start with --password-file.',
      },
    )
  for (let round = 0; round < 3; round += 1) {
    const again = round === 0 ? '' : 'They were empty or not alike. '
    const password = await prompt(`${again}New password for this server: `)
    if ((await prompt('Once more: ')) === password && password !== '') return password
  }
  throw new Problem('password-missing', 'No password was typed twice alike.', {
    hint: 'Start again, or write it into a file of mode 0600 and start with --password-file.',
  })
}
