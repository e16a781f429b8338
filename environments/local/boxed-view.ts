import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  lchownSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
} from 'node:fs'
import { join } from 'node:path'
import type { JobRequest } from '../../src/environment/environment.ts'
import { makeView, type DirectoryReader, type Links } from '../../src/environment/view.ts'
import type { JobBoxes } from '../../src/environment/plugin.ts'
import type { Owner } from '../../src/files/hand-over.ts'
import { isInside } from '../../src/files/safe-open.ts'

/**
 * Makes a view in the directory of a job that has a box of its own. Where the job runs as another user than the server,
 * the directories and copies of the view belong to him, and the logs too: the job may open them again by the names of
 * its own streams.
 */
export function makeBoxedView(
  directory: string,
  { owner, placeOf }: JobBoxes,
  request: JobRequest,
  read: DirectoryReader,
  present?: Links,
): void {
  const work = join(directory, 'work')
  const own = realpathSync.native(request.workDirectory)
  makeView(work, request, read, present, (from, to) => copyInside(from, to, [own, placeOf(from)], []))
  if (owner === undefined) return
  for (const log of ['stdout', 'stderr'])
    closeSync(openSync(join(directory, log), constants.O_WRONLY | constants.O_CREAT))
  for (const name of ['stdout', 'stderr', 'work'])
    lchownSync(join(directory, name), owner.userId, owner.groupId)
  give(work, owner)
}

/** Gives away what lies in a directory, but for its links. */
function give(directory: string, owner: Owner): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const path = join(directory, entry.name)
    lchownSync(path, owner.userId, owner.groupId)
    if (entry.isDirectory()) give(path, owner)
  }
}

/**
 * Copies a file or a directory of an execution. Where links lead is copied as long as that is the execution's own: jobs
 * made them, and this server may read more than they. The check is made on the open file.
 */
function copyInside(from: string, to: string, roots: readonly string[], above: readonly string[]): void {
  const real = realpathSync.native(from)
  if (above.includes(real)) throw new Error(`${from} contains itself.`)
  const file = openSync(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const held = `/proc/self/fd/${file}`
    const opened = readlinkSync(held)
    if (!roots.some((root) => isInside(root, opened))) throw new Error(`${from} leads out of its execution.`)
    if (!fstatSync(file).isDirectory()) {
      copyFileSync(held, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      return
    }
    mkdirSync(to)
    for (const name of readdirSync(held))
      copyInside(join(opened, name), join(to, name), roots, [...above, real])
  } finally {
    closeSync(file)
  }
}
