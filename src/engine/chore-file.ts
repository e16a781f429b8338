import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileDurably } from '../files/durable-file.ts'
import type { Chore, ChoreStore } from '../job/chores.ts'
import type { EnvironmentReference } from '../workflow/environment.ts'

interface Content {
  /** Whose chores they are. */
  readonly environment: EnvironmentReference
  readonly chores: readonly Chore[]
}

const ending = '.chores'

/**
 * Keeps the chores of the environment with this directory in a file beside it, which is there only while there are any.
 * It names the environment, for a later life of the server.
 */
export function choreFile(directory: string, environment: EnvironmentReference): ChoreStore {
  const path = directory + ending
  let isThere = true
  return {
    async load() {
      try {
        const content = await read(path)
        return 'chores' in content ? content.chores : content
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
        throw error
      }
    },
    async save(chores) {
      const { kind, name, options } = environment
      const content: Content = { environment: { kind, ...(name !== undefined && { name }), options }, chores }
      if (chores.length > 0) await writeFileDurably(path, JSON.stringify(content), 0o600)
      else if (isThere) await rm(path, { force: true })
      isThere = chores.length > 0
    },
  }
}

/** The environments below `directory` of which chores are left. Those whose file cannot be read are told to `warn`. */
export async function environmentsWithChores(
  directory: string,
  warn: (message: string) => void,
): Promise<readonly EnvironmentReference[]> {
  const names = await readdir(directory).catch(() => [])
  const found: EnvironmentReference[] = []
  for (const name of names.filter((each) => each.endsWith(ending))) {
    try {
      const content = await read(join(directory, name))
      // Earlier versions did not write whose they are: they wait for its next use.
      if ('environment' in content) found.push(content.environment)
    } catch (error) {
      warn(`What is left to do there cannot be read: ${String(error)}`)
    }
  }
  return found
}

async function read(path: string): Promise<Content | readonly Chore[]> {
  return JSON.parse(await readFile(path, 'utf8')) as Content | readonly Chore[]
}
