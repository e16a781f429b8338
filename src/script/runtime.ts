import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
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
  const fresh = join(directory, '.new')
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  // Times too: what is made again is the same, and need not be sent or signed again.
  const options = { recursive: true, preserveTimestamps: true, filter: (path: string) => isNeeded(path) }
  for (const part of parts) await cp(join(root, part), join(fresh, part), options)
  await writeFile(join(fresh, 'package.json'), '{"type":"module"}\n')
  await utimes(join(fresh, 'package.json'), 0, 0)
  const name = await nameOf(fresh)
  const place = join(directory, name)
  // Not believed unseen: a power cut may have taken what was written just before.
  if (existsSync(place) && (await nameOf(place)) === name) await rm(fresh, { recursive: true })
  else {
    await rm(place, { recursive: true, force: true })
    await rename(fresh, place)
  }
  await utimes(place, now / 1000, now / 1000)
  await removeUnused(directory, now)
  return {
    node: process.execPath,
    directory: place,
    program: `src/script/${basename(siblingPath('run-calls'))}`,
  }
}

/** The same for the same files, whatever their times. */
async function nameOf(directory: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const hash = createHash('sha256')
  for (const path of paths.sort()) {
    const content = await readFile(path)
    hash.update(`${JSON.stringify([relative(directory, path), content.length])}\n`).update(content)
  }
  return hash.digest('hex').slice(0, 16)
}

async function removeUnused(directory: string, now: number): Promise<void> {
  for (const name of await readdir(directory)) {
    const { mtimeMs } = await stat(join(directory, name))
    if (now - mtimeMs > keptMs) await rm(join(directory, name), { recursive: true, force: true })
  }
}

function isNeeded(path: string): boolean {
  const name = basename(path)
  if (!name.includes('.')) return true
  if (/\.(test\.ts|d\.ts|map)$/.test(name)) return false
  // Of environments, only the words that scripts say.
  return path.startsWith(join(root, 'src/')) || /^language\.[jt]s$/.test(name)
}
