import { cp, mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
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

/**
 * Puts together in `directory` what is sent to other computers for function tasks; anew at every start of the server,
 * as it belongs to this version of it.
 */
export async function makeRuntime(directory: string): Promise<Runtime> {
  const fresh = `${directory}.new`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  // Times too: each start makes the same, which need not be sent or signed again.
  const options = { recursive: true, preserveTimestamps: true, filter: (path: string) => isNeeded(path) }
  for (const part of parts) await cp(join(root, part), join(fresh, part), options)
  await writeFile(join(fresh, 'package.json'), '{"type":"module"}\n')
  await utimes(join(fresh, 'package.json'), 0, 0)
  await rm(directory, { recursive: true, force: true })
  await rename(fresh, directory)
  return {
    node: process.execPath,
    directory,
    program: `src/script/${basename(siblingPath('run-calls'))}`,
  }
}

function isNeeded(path: string): boolean {
  const name = basename(path)
  if (!name.includes('.')) return true
  if (/\.(test\.ts|d\.ts|map)$/.test(name)) return false
  // Of environments, only the words that scripts say.
  return path.startsWith(join(root, 'src/')) || /^language\.[jt]s$/.test(name)
}
