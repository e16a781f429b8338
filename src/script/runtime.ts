import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { siblingPath } from './spawn-node.ts'

/** What a computer needs, besides the script, to call functions of it. */
export interface Runtime {
  /** The program `node`. */
  readonly node: string
  /** The language and what calls functions. */
  readonly directory: string
  /** Path of the program in `directory` that calls functions. */
  readonly program: string
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const parts = ['src/workflow', 'src/script', `src/${basename(siblingPath('../molehill'))}`, 'environments']

/** What was made for another version of the server stays so long after its last start. */
const keptMs = 90 * 86_400_000

/**
 * Puts together below `directory` what is sent to other computers for function tasks, under a name made of its content.
 * Jobs that outlive the server read it where they share its file system: what is there is never changed, and what
 * another version left is kept for months. `now` is in milliseconds since 1970.
 */
export async function makeRuntime(directory: string, now: number): Promise<Runtime> {
  const files = await findFiles()
  const name = await nameOf(root, files)
  const place = join(directory, name)
  // Not believed unseen: a power cut may have taken what was written just before.
  if (!existsSync(place) || (await nameOf(place, files).catch(() => '')) !== name)
    await copyFiles(files, place, join(directory, '.new'))
  await utimes(place, now / 1000, now / 1000)
  await removeUnused(directory, now)
  return {
    node: process.execPath,
    directory: place,
    program: `src/script/${basename(siblingPath('run-calls'))}`,
  }
}

/** Paths of what is needed, below the root. */
async function findFiles(): Promise<readonly string[]> {
  const found: string[] = []
  for (const part of parts) {
    const entries = (await stat(join(root, part))).isFile()
      ? [part]
      : (await readdir(join(root, part), { recursive: true, withFileTypes: true }))
          .filter((entry) => entry.isFile())
          .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    found.push(...entries.filter(isNeeded))
  }
  return found.sort()
}

/** The same for the same files, whatever their times. */
async function nameOf(place: string, files: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const path of files) {
    const content = await readFile(join(place, path))
    hash.update(`${JSON.stringify([path, content.length])}\n`).update(content)
  }
  return hash.digest('hex').slice(0, 16)
}

/** Makes `place` in one go, by way of `fresh`. */
async function copyFiles(files: readonly string[], place: string, fresh: string): Promise<void> {
  await rm(fresh, { recursive: true, force: true })
  // Times too: what is made again is the same, and need not be sent or signed again.
  for (const path of files) await cp(join(root, path), join(fresh, path), { preserveTimestamps: true })
  await writeFile(join(fresh, 'package.json'), '{"type":"module"}\n')
  await utimes(join(fresh, 'package.json'), 0, 0)
  await rm(place, { recursive: true, force: true })
  await rename(fresh, place)
}

async function removeUnused(directory: string, now: number): Promise<void> {
  for (const name of await readdir(directory)) {
    const { mtimeMs } = await stat(join(directory, name))
    if (now - mtimeMs > keptMs) await rm(join(directory, name), { recursive: true, force: true })
  }
}

function isNeeded(path: string): boolean {
  if (!/\.[jt]s$/.test(path) || /\.(?:test|d)\.ts$/.test(path)) return false
  // Of environments, only the words that scripts say.
  return path.startsWith('src/') || /^language\.[jt]s$/.test(basename(path))
}
