import { readFileSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Kills every process that carries one of these job directories (`.../<job>/work`) in its environment, also one that
 * left its process group. Finds nothing where there is no /proc. Returns how many processes it killed.
 */
export function killProcessesOf(jobDirectories: ReadonlySet<string>): number {
  let killed = 0
  // A process may start another while we look: look again until nothing is found.
  for (let round = 0; round < 20; round += 1) {
    const found = processesOf(jobDirectories)
    if (found.length === 0) break
    for (const pid of found) {
      try {
        process.kill(pid, 'SIGKILL')
        killed += 1
      } catch {
        // Gone by itself.
      }
    }
  }
  return killed
}

/** Removes what an earlier life of the server left in `directory`, after ending what still runs there. */
export async function removeLeftovers(directory: string, warn: (message: string) => void): Promise<void> {
  const names = readdirSync(directory)
  if (names.length === 0) return
  const killed = killProcessesOf(new Set(names.map((name) => join(directory, name, 'work'))))
  if (killed > 0)
    warn(`${killed} processes of jobs of an earlier life of the server were still running; they were killed.`)
  for (const name of names) await rm(join(directory, name), { recursive: true, force: true, maxRetries: 3 })
}

function processesOf(jobDirectories: ReadonlySet<string>): readonly number[] {
  return pids().filter((pid) => {
    const mark = 'MOLEHILL_JOB_DIRECTORY='
    const variable = variablesOf(pid).find((text) => text.startsWith(mark))
    return variable !== undefined && jobDirectories.has(variable.slice(mark.length))
  })
}

function pids(): readonly number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid)
  } catch {
    return []
  }
}

function variablesOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    // Gone meanwhile, or another user's.
    return []
  }
}
