import { constants, linkSync, lstatSync, mkdirSync, readdirSync, realpathSync, type Stats } from 'node:fs'
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

/** Links `source` to `target`, or copies it where a link is not possible or not safe. */
async function bringFile(source: string, target: string, mayLink: boolean): Promise<void> {
  if (mayLink)
    try {
      linkSync(source, target)
      return
    } catch {
      // Another file system, or one without hard links: the copy below tells what is really wrong.
    }
  await copyFile(source, target, constants.COPYFILE_FICLONE)
}

/**
 * Copies a file of the work directory, where other jobs may put a link in its place at any time: the check is made on
 * the open file.
 */
async function copyHeld(path: string, target: string, root: string): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const isStill = (await file.stat()).isFile() && isInside(await realPathOf(file, path), root)
    if (isStill) await copyFile(handlePath(file, path), target, constants.COPYFILE_FICLONE)
    return isStill
  } finally {
    await file.close()
  }
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
  if (entry.isFile()) {
    if (isOwn) await bringFile(real, target, isPlain(entry))
    else return copyHeld(real, target, roots.workDirectory)
    return true
  }
  if (!entry.isDirectory() || above.includes(real)) return false
  mkdirSync(target)
  for (const name of readdirSync(real))
    if (!(await bring(join(real, name), join(target, name), roots, [...above, real]))) return false
  return true
}

/** One name only: a file that has others may be one of them outside the job directory. */
function isPlain(entry: Stats): boolean {
  return entry.nlink === 1
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
