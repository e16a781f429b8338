import { createPrivateKey, type KeyObject } from 'node:crypto'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileDurably } from '../files/durable-file.ts'
import { Problem } from '../problem.ts'
import { readAnnouncement, type Announcement } from './announcement.ts'
import { announce, keyNames, makeKey, makeSecret, readIfThere, signatureDirectory } from './key-files.ts'
import { readKeyText } from './protocol/key-text.ts'
import { isSignatureOf, readUploadKey, signMd5, type UploadKey } from './protocol/signatures.ts'
import { readOlderUploadKeys, type OlderUploadKey } from './upload-keys.ts'

/** The keys of a project, as the server uses them. */
export interface VolunteerKeys {
  /** The code signing key's public half, and how those who hold an older one come to trust it. */
  readonly announcement: Announcement
  /** Whether the server could sign programs by itself: it is safer where it could not. */
  readonly canSign: boolean
  /** Whether this call made the code signing key. */
  readonly isNew: boolean
  readonly uploadKey: UploadKey
  readonly uploadKeyPem: string
  /** What hosts were given before may come back with certificates of these. */
  readonly olderUploadKeys: readonly OlderUploadKey[]
  /** What volunteers' authenticators are made of. */
  readonly accountSecret: Uint8Array
  /** Signatures by the MD5 of what is signed, all made with the key in use. */
  signatures(): Promise<Readonly<Record<string, string>>>
  /** Throws Problem configuration-invalid where it must be signed elsewhere first. */
  signatureOf(program: { readonly name: string; readonly md5: string }): Promise<string>
}

/** Opens the keys in a directory, and makes those that are not there. Only its owner may read them. */
export async function openKeys(directory: string): Promise<VolunteerKeys> {
  await mkdir(signatureDirectory(directory), { recursive: true, mode: 0o700 })
  const signing = await openSigning(directory)
  const publicKey = readKeyText(signing.announcement.key)
  const uploadPem =
    (await readIfThere(join(directory, keyNames.upload))) ?? (await makeKey(directory, keyNames.upload))
  const secret = (await readIfThere(join(directory, keyNames.secret))) ?? (await makeSecret(directory))
  const findSignature = async (md5: string) => {
    const text = await readIfThere(join(signatureDirectory(directory), md5))
    return text !== undefined && isSignatureOf(text, md5, publicKey) ? text : undefined
  }
  const signatureOf: VolunteerKeys['signatureOf'] = async ({ name, md5 }) => {
    if (!md5Pattern.test(md5)) throw new TypeError(`${JSON.stringify(md5)} is no MD5.`)
    const found = await findSignature(md5)
    if (found !== undefined) return found
    if (signing.key === undefined)
      throw new Problem(
        'configuration-invalid',
        `The program ${name}, of MD5 ${md5}, is not signed with the project's code signing key.`,
        {
          hint: 'It lies below environments/ of the data directory. Where the key is kept: molehill boinc sign FILE. Then put the signature where it says.',
        },
      )
    const signature = signMd5(md5, signing.key)
    await writeFileDurably(join(signatureDirectory(directory), md5), signature, 0o600)
    return signature
  }
  return {
    announcement: signing.announcement,
    canSign: signing.key !== undefined,
    isNew: signing.isNew,
    uploadKey: readUploadKey(uploadPem),
    uploadKeyPem: uploadPem,
    olderUploadKeys: await readOlderUploadKeys(directory),
    accountSecret: Buffer.from(secret.trim(), 'hex'),
    signatureOf,
    async signatures() {
      const found: Record<string, string> = {}
      for (const md5 of await readdir(signatureDirectory(directory))) {
        if (!md5Pattern.test(md5)) continue
        // After a change of the key those of the old one are made anew, where that is possible.
        const signature =
          signing.key === undefined ? await findSignature(md5) : await signatureOf({ name: md5, md5 })
        if (signature !== undefined) found[md5] = signature
      }
      return found
    },
  }
}

const md5Pattern = /^[\da-f]{32}$/

interface Signing {
  /** Absent where it is kept elsewhere. */
  readonly key: KeyObject | undefined
  readonly announcement: Announcement
  readonly isNew: boolean
}

async function openSigning(directory: string): Promise<Signing> {
  const pem = await readIfThere(join(directory, keyNames.codeSign))
  if (pem !== undefined)
    return { key: createPrivateKey(pem), announcement: await announce(directory), isNew: false }
  const announced = await readIfThere(join(directory, keyNames.announcement))
  if (announced !== undefined)
    return { key: undefined, announcement: readAnnouncement(announced), isNew: false }
  const made = await makeKey(directory, keyNames.codeSign)
  return { key: createPrivateKey(made), announcement: await announce(directory), isNew: true }
}
