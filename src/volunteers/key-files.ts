import { createPrivateKey, createPublicKey, generateKeyPair, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { syncDirectory, writeFileDurably } from '../files/durable-file.ts'
import { Problem } from '../problem.ts'
import { writeAnnouncement, type Announcement } from './announcement.ts'
import { md5Of, signKeyText, signMd5 } from './protocol/signatures.ts'
import { withoutSpace, writeKeyText } from './protocol/key-text.ts'

/** Files in a directory of keys. */
export const keyNames = {
  /** Private: whoever has it can have programs run on all hosts. May be kept elsewhere. */
  codeSign: 'code-sign.pem',
  /** Private ones that were in use before. They only sign the one that is in use now. */
  older: 'older',
  /** Stands for the private one where that is kept elsewhere. */
  announcement: 'code-sign.json',
  /** Private, and always the server's. */
  upload: 'upload.pem',
  /** Private: the server takes it in place of that at its next start. */
  nextUpload: 'upload.next.pem',
  /** Public halves of those that were in use before. */
  olderUploads: 'older-upload',
  /** What volunteers' authenticators are made of. */
  secret: 'accounts.secret',
} as const

/** Signatures of programs lie here, named by the MD5 of what is signed. */
export function signatureDirectory(directory: string): string {
  return join(directory, 'signatures')
}

/** Puts a new code signing key in the place of the one in use, which signs it. Both stay in the directory. */
export async function rotateCodeSignKey(directory: string, now: () => number): Promise<void> {
  const pem = await readIfThere(join(directory, keyNames.codeSign))
  if (pem === undefined)
    throw new Problem('configuration-invalid', `There is no code signing key in ${directory} to change.`, {
      hint: 'Name the directory where it is kept: molehill boinc keys --rotate --offline DIRECTORY',
    })
  const older = join(directory, keyNames.older)
  await mkdir(older, { recursive: true, mode: 0o700 })
  await writeFileDurably(join(older, `${now()}.pem`), pem, 0o600)
  await writeKeyFile(directory, keyNames.codeSign, await newPem())
}

/**
 * Sees to it that a server has no code signing key but knows its public half. The key itself lies in `offline`, where
 * it is put from the server, or made where neither has one.
 */
export async function moveCodeSignKey(server: string, offline: string): Promise<Announcement> {
  await mkdir(server, { recursive: true, mode: 0o700 })
  await mkdir(join(offline, keyNames.older), { recursive: true, mode: 0o700 })
  const own = await readIfThere(join(server, keyNames.codeSign))
  const kept = await readIfThere(join(offline, keyNames.codeSign))
  if (own !== undefined && kept !== undefined && own !== kept)
    throw new Problem('configuration-invalid', `${server} and ${offline} each have a code signing key.`, {
      hint: 'Move the one that is not to be used out of the way; hosts that know the other must be attached anew.',
    })
  if (kept === undefined && own === undefined) {
    if ((await readIfThere(join(server, keyNames.announcement))) !== undefined)
      throw new Problem(
        'configuration-invalid',
        `The server's code signing key is kept elsewhere than in ${offline}.`,
        {
          hint: 'Name the directory where it is. To begin with a new key, remove code-sign.json from the keys of the server.',
        },
      )
    await makeKey(offline, keyNames.codeSign)
  } else if (kept === undefined && own !== undefined) await writeKeyFile(offline, keyNames.codeSign, own)
  for (const name of await olderNames(server))
    await writeFileDurably(
      join(offline, keyNames.older, name),
      await readFile(join(server, keyNames.older, name)),
      0o600,
    )
  const announcement = await announce(offline)
  await writeKeyFile(offline, keyNames.announcement, writeAnnouncement(announcement))
  await writeKeyFile(server, keyNames.announcement, writeAnnouncement(announcement))
  // Only now that it is elsewhere and synced.
  await rm(join(server, keyNames.codeSign), { force: true })
  await rm(join(server, keyNames.older), { recursive: true, force: true })
  await syncDirectory(server)
  return announcement
}

/** Signs a program with the key in a directory, and writes the signature there and to the server. */
export async function signProgram(
  file: string,
  { directory, server }: { readonly directory: string; readonly server: string | undefined },
): Promise<{ readonly md5: string; readonly path: string }> {
  const pem = await readIfThere(join(directory, keyNames.codeSign))
  if (pem === undefined)
    throw new Problem('configuration-invalid', `There is no code signing key in ${directory}.`, {
      hint: 'Name the directory where it is kept with --offline.',
    })
  const md5 = md5Of(await readFile(file))
  const signature = signMd5(md5, createPrivateKey(pem))
  let path = ''
  for (const place of server === undefined ? [directory] : [directory, server]) {
    await mkdir(signatureDirectory(place), { recursive: true, mode: 0o700 })
    path = join(signatureDirectory(place), md5)
    await writeFileDurably(path, signature, 0o600)
  }
  return { md5, path }
}

/** What is told of the code signing key in a directory. */
export async function announce(directory: string): Promise<Announcement> {
  const key = await publicText(join(directory, keyNames.codeSign))
  const successions: Record<string, string> = {}
  for (const name of await olderNames(directory)) {
    const pem = createPrivateKey(await readFile(join(directory, keyNames.older, name)))
    successions[withoutSpace(writeKeyText(createPublicKey(pem)))] = signKeyText(key, pem)
  }
  return { key, successions }
}

/** Makes a key and returns its private half as it was written, PEM. */
export async function makeKey(directory: string, name: string): Promise<string> {
  const pem = await newPem()
  await writeKeyFile(directory, name, pem)
  return pem
}

export async function makeSecret(directory: string): Promise<string> {
  const secret = `${randomBytes(32).toString('hex')}\n`
  await writeKeyFile(directory, keyNames.secret, secret)
  return secret
}

export async function writeKeyFile(directory: string, name: string, content: string): Promise<void> {
  await writeFileDurably(join(directory, name), content, 0o600)
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function olderNames(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(join(directory, keyNames.older))
    return names.filter((name) => /^\d+\.pem$/.test(name)).toSorted()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function publicText(path: string): Promise<string> {
  return writeKeyText(createPublicKey(createPrivateKey(await readFile(path))))
}

async function newPem(): Promise<string> {
  // 1024 bits is what clients are built for.
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 1024 })
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
