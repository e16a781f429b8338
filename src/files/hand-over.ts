import { execFile } from 'node:child_process'
import { lchown, lstat } from 'node:fs/promises'
import { promisify } from 'node:util'

/** Whom files belong to. */
export interface Owner {
  readonly userId: number
  readonly groupId: number
}

const run = promisify(execFile)

/**
 * Gives a file or a directory with all that lies in it to somebody; links themselves, never what they lead to. What
 * belongs to him already is left as it is: a directory changes hands after all that it holds. Nobody else may write
 * there meanwhile. Only root may do this.
 */
export async function handOver(path: string, { userId, groupId }: Owner): Promise<void> {
  const found = await lstat(path)
  if (found.uid === userId && found.gid === groupId) return
  if (found.isDirectory()) await run('chown', ['-h', '-R', '-P', '--', `${userId}:${groupId}`, path])
  else await lchown(path, userId, groupId)
}

/** Something open that tells whose it is. */
interface Held {
  stat(): Promise<{ readonly uid: number; readonly gid: number }>
}

/** Whom something must belong to that this server makes in a directory; undefined where it cannot choose. */
export async function ownerIn(directory: Held): Promise<Owner | undefined> {
  if (process.geteuid?.() !== 0) return undefined
  const { uid, gid } = await directory.stat()
  return { userId: uid, groupId: gid }
}

/** Gives to the owner of a directory what is to be moved there. */
export async function handOverFor(path: string, directory: Held): Promise<void> {
  const owner = await ownerIn(directory)
  if (owner !== undefined) await handOver(path, owner)
}
