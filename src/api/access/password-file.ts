import { constants } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Problem } from '../../problem.ts'
import { longestPassword } from './password.ts'

const largestFileBytes = 16_384
const largestSecretBytes = 262_144
const othersMayRead = 0o077
const everybodyMayWrite = 0o002
const stickyBit = 0o1000
/** systemd's LoadCredential= keeps files here for one service; access lists make their group bits look open. */
const credentialsDirectory = '/run/credentials/'

type Refuse = (what: string, hint: string, cause?: unknown) => Problem

/**
 * The first line of a file, without its line end. As ssh does with keys, the file is refused when others can read it:
 * Problem('configuration-invalid') says what was found and what to do.
 */
export async function readPasswordFile(path: string, userId = process.getuid?.()): Promise<string> {
  const refuse = refusing(`The password file ${path}`)
  return firstLine(await readPrivateFile(path, largestFileBytes, refuse, userId), refuse)
}

/** All of a file with a secret, such as a kubeconfig, without the line ends at its end; refused as a password file is. */
export async function readSecretFile(path: string, userId = process.getuid?.()): Promise<string> {
  const refuse = refusing(`The file ${path}`)
  const text = (await readPrivateFile(path, largestSecretBytes, refuse, userId)).replace(/[\r\n]+$/, '')
  if (text === '') throw refuse('is empty', 'Write the secret into it.')
  return text
}

function refusing(file: string): Refuse {
  return (what, hint, cause) => new Problem('configuration-invalid', `${file} ${what}.`, { hint, cause })
}

async function readPrivateFile(
  path: string,
  largestBytes: number,
  refuse: Refuse,
  userId: number | undefined,
): Promise<string> {
  let file: FileHandle
  try {
    // Without O_NONBLOCK a named pipe would hang here.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'ELOOP') throw refuse('is a symbolic link', 'Name the file that it leads to.', cause)
    const what = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${String(cause)}`
    throw refuse(what, 'Write the password into a file of mode 0600 and name that.', cause)
  }
  try {
    const { mode, uid, size } = await file.stat()
    if ((mode & constants.S_IFMT) !== constants.S_IFREG)
      throw refuse('is no regular file', 'Write the password into a file of mode 0600 and name that.')
    if (!path.startsWith(credentialsDirectory)) {
      if (userId !== undefined && uid !== userId && uid !== 0)
        throw refuse(
          `belongs to user ${uid}, but the server runs as user ${userId}`,
          `chown ${userId} '${path}'`,
        )
      if ((mode & othersMayRead) !== 0)
        throw refuse(
          `is open to other users (its mode is 0${(mode & 0o777).toString(8)})`,
          `chmod 600 '${path}'`,
        )
      const directory = (await stat(dirname(path))).mode
      if ((directory & everybodyMayWrite) !== 0 && (directory & stickyBit) === 0)
        throw refuse(
          'lies in a directory where everybody may replace it',
          `Move it elsewhere, or: chmod o-w '${dirname(path)}'`,
        )
    }
    if (size > largestBytes)
      throw refuse(`is ${size} bytes long, expected at most ${largestBytes}`, 'Is it the right file?')
    return decode(await readAtMost(file, largestBytes), refuse)
  } finally {
    await file.close()
  }
}

async function readAtMost(file: FileHandle, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  const { bytesRead } = await file.read(buffer, 0, bytes, 0)
  return buffer.subarray(0, bytesRead)
}

function decode(content: Buffer, refuse: Refuse): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    throw refuse('is not UTF-8', 'Write it anew with an editor that saves UTF-8.')
  }
}

function firstLine(text: string, refuse: Refuse): string {
  const [line = ''] = text.split(/[\r\n]/, 1)
  if (line === '')
    throw refuse('has no password in its first line', 'Write the password into its first line.')
  if (line.length > longestPassword)
    throw refuse(`has a first line of over ${longestPassword} letters`, 'Is it the right file?')
  return line
}
