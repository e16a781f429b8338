import { readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { killProcessesOf } from './processes.ts'

/** Removes what an earlier life of the server left in `directory`, after ending what still runs there. */
export async function removeLeftovers(directory: string, warn: (message: string) => void): Promise<void> {
  const names = readdirSync(directory)
  if (names.length === 0) return
  const killed = killProcessesOf(new Set(names.map((name) => join(directory, name, 'work'))))
  if (killed > 0)
    warn(`${killed} processes of jobs of an earlier life of the server were still running; they were killed.`)
  for (const name of names) await rm(join(directory, name), { recursive: true, force: true, maxRetries: 3 })
}
