import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a Node process needs in order to run modules of this package: sources or what was built, and libraries. */
export function packagePaths(): readonly string[] {
  known ??= findPaths()
  return known
}

// Where this package lies does not change while it runs.
let known: readonly string[] | undefined

function findPaths(): readonly string[] {
  const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '')
  const libraries = ['zod', 'piscina'].map((name) => {
    const path = fileURLToPath(import.meta.resolve(name))
    const folder = '/node_modules/'
    return path.slice(0, path.lastIndexOf(folder) + folder.length - 1)
  })
  const candidates = [
    ...['src', 'environments', 'package.json'].map((name) => join(root, name)),
    // What was built lies in a folder of its own beside it.
    join(dirname(root), 'package.json'),
    ...libraries,
    process.execPath,
  ]
  return [...new Set(candidates.flatMap((path) => (existsSync(path) ? [path, realpathSync(path)] : [])))]
}
