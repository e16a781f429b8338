import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Where this Molehill lies, and which one it is. */
export interface Installation {
  /** The directory of package.json. */
  readonly directory: string
  readonly version: string
}

/** Finds the package that this file is part of, be it a checkout or an installed package. */
export function findInstallation(start: string = import.meta.dirname): Installation {
  for (let directory = start; ; directory = dirname(directory)) {
    const text = readIfThere(join(directory, 'package.json'))
    if (text !== undefined) return { directory, version: String(JSON.parse(text).version) }
    if (directory === dirname(directory)) throw new Error(`There is no package.json above ${start}.`)
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
