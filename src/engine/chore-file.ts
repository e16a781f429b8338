import { readFile, rm } from 'node:fs/promises'
import { writeFileDurably } from '../files/durable-file.ts'
import type { Chore, ChoreStore } from '../job/chores.ts'

/** Keeps the chores of an environment in a file, which is there only while there are any. */
export function choreFile(path: string): ChoreStore {
  let isThere = true
  return {
    async load() {
      try {
        return JSON.parse(await readFile(path, 'utf8')) as Chore[]
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
        throw error
      }
    },
    async save(chores) {
      if (chores.length > 0) await writeFileDurably(path, JSON.stringify(chores), 0o600)
      else if (isThere) await rm(path, { force: true })
      isThere = chores.length > 0
    },
  }
}
