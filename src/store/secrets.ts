import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { z } from 'zod'
import { Problem } from '../problem.ts'

/**
 * Secrets as they are kept: each under a random data key, and that one under a key made of the password. All texts
 * are base64url; what is sealed is nonce (12 bytes), tag (16 bytes) and content, by AES-256-GCM (NIST SP 800-38D).
 */
export const keptSecretsSchema = z.object({
  salt: z.string().min(1),
  dataKey: z.string().min(1),
  entries: z.record(z.string(), z.object({ version: z.int().min(1), sealed: z.string().min(1) })),
})

export type KeptSecrets = Readonly<z.infer<typeof keptSecretsSchema>>

/** Where secrets are kept: a member of the preferences. */
export interface SecretsPlace {
  current(): KeptSecrets | undefined
  /** Replaces what is kept; one update after the other. Resolves when it is on the disk. */
  update(change: (current: KeptSecrets | undefined) => KeptSecrets): Promise<void>
}

/** Secrets of this data directory: passwords and keys of the places where jobs run. */
export interface Secrets {
  /** Keeps a text. Resolves when it is on the disk. Throws Problem as `openSecret` does. */
  sealSecret(name: string, text: string): Promise<void>
  /**
   * Throws Problem configuration-invalid when there is none of that name, when the server does not have the
   * password, and when what is kept was changed; Problem password-wrong when the password is another one.
   */
  openSecret(name: string): Promise<string>
  /** Forgets secrets; silent about those that are not there. Needs no password. */
  removeSecrets(names: readonly string[]): Promise<void>
  /** Whether nobody has given the password yet. */
  readonly isLocked: boolean
  /** Gives the password. It is kept only until the first secret is opened or kept. */
  unlock(password: string): void
  /** Makes sure that what is kept can be opened. Throws Problem as `openSecret` does. */
  checkPassword(): Promise<void>
}

const cipher = 'aes-256-gcm'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const saltBytes = 16
/** As for the password's hash: 32 MiB and a third of a second. */
const cost = { N: 2 ** 15, r: 8, p: 3, maxmem: 64 * 2 ** 20 }
const dataKeyName = 'molehill data key'

/** @param given the password; absent when the server has not got it yet: until then secrets are locked. */
export function createSecrets(place: SecretsPlace, given: string | undefined): Secrets {
  let password = given
  let opened: Promise<Buffer> | undefined
  const dataKey = async (): Promise<Buffer> => {
    if (opened === undefined && password === undefined) throw locked()
    opened ??= openDataKey(place, password ?? '')
    try {
      const key = await opened
      password = undefined
      return key
    } catch (error) {
      opened = undefined
      throw error
    }
  }
  return {
    get isLocked() {
      return password === undefined && opened === undefined
    },
    unlock(text) {
      if (opened === undefined) password = text
    },
    async checkPassword() {
      if (place.current() !== undefined) await dataKey()
    },
    async removeSecrets(names) {
      const entries = place.current()?.entries ?? {}
      if (!names.some((name) => Object.hasOwn(entries, name))) return
      await place.update((kept) => {
        if (kept === undefined) throw new Error('The data key is not kept.')
        const others = Object.entries(kept.entries).filter(([name]) => !names.includes(name))
        return { ...kept, entries: Object.fromEntries(others) }
      })
    },
    async sealSecret(name, text) {
      const key = await dataKey()
      await place.update((kept) => {
        if (kept === undefined) throw new Error('The data key is not kept.')
        const version = (kept.entries[name]?.version ?? 0) + 1
        const sealed = seal(key, Buffer.from(text), associate(name, version))
        return { ...kept, entries: { ...kept.entries, [name]: { version, sealed } } }
      })
    },
    async openSecret(name) {
      const entries = place.current()?.entries ?? {}
      const entry = Object.hasOwn(entries, name) ? entries[name] : undefined
      if (entry === undefined)
        throw new Problem('configuration-invalid', `There is no secret ${JSON.stringify(name)}.`)
      const key = await dataKey()
      try {
        return unseal(key, entry.sealed, associate(name, entry.version)).toString()
      } catch (cause) {
        throw new Problem(
          'configuration-invalid',
          `The secret ${JSON.stringify(name)} was changed since it was kept.`,
          { hint: 'Bring preferences.json in the data directory back from a backup.', cause },
        )
      }
    },
  }
}

/** The same secrets under another password: only the data key is sealed anew. Throws Problem password-wrong. */
export async function rewrapSecrets(
  kept: KeptSecrets,
  oldPassword: string,
  newPassword: string,
): Promise<KeptSecrets> {
  const dataKey = await unwrap(kept, oldPassword)
  return { ...kept, ...(await wrap(dataKey, newPassword)) }
}

async function openDataKey(place: SecretsPlace, password: string): Promise<Buffer> {
  const kept = place.current()
  if (kept !== undefined) return unwrap(kept, password)
  const dataKey = randomBytes(keyBytes)
  const wrapped = await wrap(dataKey, password)
  await place.update(() => ({ ...wrapped, entries: {} }))
  return dataKey
}

async function wrap(dataKey: Buffer, password: string): Promise<{ salt: string; dataKey: string }> {
  const salt = randomBytes(saltBytes)
  const key = await derive(password, salt)
  return { salt: salt.toString('base64url'), dataKey: seal(key, dataKey, Buffer.from(dataKeyName)) }
}

async function unwrap(kept: KeptSecrets, password: string): Promise<Buffer> {
  const key = await derive(password, Buffer.from(kept.salt, 'base64url'))
  try {
    return unseal(key, kept.dataKey, Buffer.from(dataKeyName))
  } catch (cause) {
    throw new Problem('password-wrong', 'The password does not open the secrets of this data directory.', {
      hint: 'It must be the one under which they were kept. Or preferences.json was changed: bring it back from a backup.',
      cause,
    })
  }
}

/** No name can be mistaken for another with its version: the version stands first and is a number. */
function associate(name: string, version: number): Buffer {
  return Buffer.from(`molehill secret ${version} ${name}`)
}

function seal(key: Buffer, content: Buffer, associated: Buffer): string {
  const nonce = randomBytes(nonceBytes)
  const sealing = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes }).setAAD(associated)
  const sealed = Buffer.concat([sealing.update(content), sealing.final()])
  return Buffer.concat([nonce, sealing.getAuthTag(), sealed]).toString('base64url')
}

function unseal(key: Buffer, text: string, associated: Buffer): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text || bytes.length < nonceBytes + tagBytes)
    throw new Error('This is nothing that was sealed.')
  const opening = createDecipheriv(cipher, key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes })
    .setAAD(associated)
    .setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
  return Buffer.concat([opening.update(bytes.subarray(nonceBytes + tagBytes)), opening.final()])
}

function derive(password: string, salt: Buffer): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  // Composed and decomposed letters look the same and come from different keyboards (RFC 8265 section 4.2).
  scrypt(password.normalize('NFC'), salt, keyBytes, cost, (error, key) => {
    if (error === null) resolve(key)
    else reject(error)
  })
  return promise
}

function locked(): Problem {
  return new Problem('configuration-invalid', 'The secrets of this data directory are locked.', {
    hint: 'The server opens them with the password: log in once with `molehill token`, or start it with --password-file.',
  })
}
