import {
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  unlinkSync,
  type Stats,
} from 'node:fs'
import { copyFile, open, rm } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { handlePath, realPathOf } from '../files/safe-open.ts'
import { segmentsOf } from './view.ts'

/** The directories that an output may come from. Both without symbolic links in their paths. */
export interface OutputRoots {
  readonly jobDirectory: string
  readonly workDirectory: string
}

/**
 * Brings one output into `directory`, at its own path. Returns whether it was there and lies inside the job
 * directory or, through a link, inside the work directory. Repeating it replaces what an earlier call brought.
 */
export async function bringOutput(path: string, roots: OutputRoots, directory: string): Promise<boolean> {
  const segments = segmentsOf(path)
  if (segments === undefined) return false
  const target = join(directory, ...segments)
  await rm(target, { recursive: true, force: true })
  mkdirSync(dirname(target), { recursive: true })
  const isWhole = await bring(join(roots.jobDirectory, ...segments), target, roots, [])
  if (!isWhole) await rm(target, { recursive: true, force: true })
  return isWhole
}

/** Where Linux can, a handle that needs no right to read. */
const heldFlags = process.platform === 'linux' ? 0o10000000 : constants.O_RDONLY | constants.O_NONBLOCK

/**
 * Links a file to `target`, or copies it where a link is not possible or not safe. Processes may put a link in its
 * place or above it at any time, so the check is made on the open file. Returns whether it was a file in `root`.
 */
async function bringFile(source: string, target: string, root: string, mayLink: boolean): Promise<boolean> {
  const file = await open(source, heldFlags | constants.O_NOFOLLOW)
  try {
    const entry = await file.stat()
    if (!entry.isFile() || !isInside(await realPathOf(file, source), root)) return false
    // One name only: a file that has others may be one of them outside the job directory.
    if (mayLink && entry.nlink === 1 && isLinked(source, target, entry)) return true
    await copyFile(handlePath(file, source), target, constants.COPYFILE_FICLONE)
    return true
  } finally {
    await file.close()
  }
}

/** Links a file, if it is still that one. */
function isLinked(source: string, target: string, { ino, dev }: Stats): boolean {
  try {
    linkSync(source, target)
  } catch {
    // Another file system, or one without hard links: the copy tells what is really wrong.
    return false
  }
  const linked = lstatSync(target)
  if (linked.ino === ino && linked.dev === dev) return true
  unlinkSync(target)
  return false
}

async function bring(
  source: string,
  target: string,
  roots: OutputRoots,
  above: readonly string[],
): Promise<boolean> {
  const real = realPath(source)
  const isOwn = real !== undefined && isInside(real, roots.jobDirectory)
  if (real === undefined || !(isOwn || isInside(real, roots.workDirectory))) return false
  const entry = lstatSync(real)
  // A file of the work directory must not share its content with a result.
  if (entry.isFile()) return bringFile(real, target, isOwn ? roots.jobDirectory : roots.workDirectory, isOwn)
  if (!entry.isDirectory() || above.includes(real)) return false
  mkdirSync(target)
  for (const name of readdirSync(real))
    if (!(await bring(join(real, name), join(target, name), roots, [...above, real]))) return false
  return true
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path)
  } catch {
    return undefined
  }
}

function isInside(path: string, directory: string): boolean {
  return path.startsWith(directory + sep)
}
