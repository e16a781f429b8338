import { mkdir, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { ownerIn } from './hand-over.ts'
import { handlePath, openDirectory } from './safe-open.ts'

/** A directory that is held open. Whoever has it closes the handle. */
export interface OpenedWay {
  readonly handle: FileHandle
  /** Where its children are reached, whatever becomes of the names above. */
  readonly path: string
}

/**
 * Opens the directory that is reached by these names, one after the other, from `root`. Those that are missing are
 * made, and belong to the owner of the one above. No link is followed, also none that is put there meanwhile.
 *
 * @throws Problem `file-missing` where a name is a link, or no directory; the system error where one cannot be made.
 */
export async function openWay(root: string, names: readonly string[]): Promise<OpenedWay> {
  let way = await hold(root)
  for (const name of names) {
    const above = way
    try {
      way = await step(above, name)
    } finally {
      await above.handle.close()
    }
  }
  return way
}

async function step(above: OpenedWay, name: string): Promise<OpenedWay> {
  const path = join(above.path, name)
  const isNew = await make(path)
  const way = await hold(path)
  try {
    const owner = isNew ? await ownerIn(above.handle) : undefined
    if (owner !== undefined) await way.handle.chown(owner.userId, owner.groupId)
    return way
  } catch (error) {
    await way.handle.close()
    throw error
  }
}

async function hold(path: string): Promise<OpenedWay> {
  const handle = await openDirectory(path)
  return { handle, path: handlePath(handle, path) }
}

/** Whether there was nothing of that name. */
async function make(path: string): Promise<boolean> {
  try {
    await mkdir(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}
