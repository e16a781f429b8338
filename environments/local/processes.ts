import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Process ids of this computer without our own; none where there is no /proc. */
function pids(): readonly string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
  } catch {
    return []
  }
}

/** About how many processes there are. */
export function processCount(): number {
  return pids().length
}

/**
 * Names in `directory` that a process works in or has as its standard output or error. Undefined where it cannot be
 * found out. Processes of other users are not seen.
 */
export function subdirectoriesInUse(directory: string): ReadonlySet<string> | undefined {
  if (linkTarget('/proc/self/cwd') === undefined) return undefined
  const used = new Set<string>()
  for (const pid of pids())
    for (const link of ['cwd', 'fd/1', 'fd/2']) {
      const target = linkTarget(`/proc/${pid}/${link}`)
      if (target?.startsWith(`${directory}/`) === true)
        used.add(target.slice(directory.length + 1).split('/')[0] ?? '')
    }
  return used
}

/**
 * Kills every process that carries one of these job directories (`.../work`) in its environment, also one that left
 * its process group. Finds nothing where there is no /proc. Returns how many processes it killed.
 */
export function killProcessesOf(workDirectories: ReadonlySet<string>): number {
  let killed = 0
  // A process may start another while we look: look again until nothing is found.
  for (let round = 0; round < 20; round += 1) {
    const found = pids().filter((pid) => workDirectories.has(jobDirectoryOf(pid) ?? ''))
    if (found.length === 0) break
    for (const pid of found) {
      try {
        process.kill(Number(pid), 'SIGKILL')
        killed += 1
      } catch {
        // Gone by itself.
      }
    }
  }
  return killed
}

function jobDirectoryOf(pid: string): string | undefined {
  const mark = 'MOLEHILL_JOB_DIRECTORY='
  try {
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    return variables.find((text) => text.startsWith(mark))?.slice(mark.length)
  } catch {
    // Gone meanwhile, or another user's.
    return undefined
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
