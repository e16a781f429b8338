import { access, constants, mkdir, stat } from 'node:fs/promises'
import { isOutOfSpace, messageOf, Problem } from '../problem.ts'

const privateMode = 0o700
const othersMayEnter = 0o077

/**
 * Makes the data directory (mode 0700, its missing parents too), or checks the one that is there: a directory that
 * belongs to this user, that nobody else may enter, and that can be written.
 *
 * Throws Problem('configuration-invalid') whose hint tells the cure. Changes nothing about a directory that exists.
 */
export async function prepareDataDirectory(path: string, userId = process.getuid?.()): Promise<void> {
  const refuse = (what: string, hint: string, cause?: unknown) =>
    new Problem('configuration-invalid', `The data directory ${path} ${what}.`, { hint, cause })
  const elsewhere = 'Or name another directory with --data-directory.'

  let found
  try {
    await mkdir(path, { recursive: true, mode: privateMode })
    found = await stat(path)
  } catch (cause) {
    if (isOutOfSpace(cause)) throw cause
    throw refuse(
      `cannot be made: ${messageOf(cause)}`,
      `Make it yourself with mode 0700 for the user of the server. ${elsewhere}`,
      cause,
    )
  }
  if (userId !== undefined && found.uid !== userId)
    throw refuse(
      `belongs to user ${found.uid}, but the server runs as user ${userId}`,
      `Start the server as user ${found.uid}, or give it the directory: chown -R ${userId} '${path}'. ${elsewhere}`,
    )
  if ((found.mode & othersMayEnter) !== 0)
    throw refuse(
      `is open to other users (its mode is ${octal(found.mode)}, expected 0700)`,
      `Close it: chmod 700 '${path}'. ${elsewhere}`,
    )
  if ((found.mode & privateMode) !== privateMode)
    throw refuse(
      `is closed to its owner (its mode is ${octal(found.mode)}, expected 0700)`,
      `Open it: chmod 700 '${path}'. ${elsewhere}`,
    )
  try {
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw refuse('cannot be written', `Is its file system mounted read-only? ${elsewhere}`, cause)
  }
}

function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8).padStart(3, '0')}`
}
