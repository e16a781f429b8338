import { availableParallelism, homedir, totalmem } from 'node:os'
import { isAbsolute, join } from 'node:path'

/** What defaults depend on. */
export interface Surroundings {
  readonly homeDirectory: string
  /** Where programs of this user keep their state. */
  readonly stateDirectory: string
  /** Where programs of this user look for their configuration. */
  readonly configDirectory: string
  /** Cores that this process may use. */
  readonly cores: number
  /** What this computer has. */
  readonly memoryBytes: number
}

/** Follows the XDG Base Directory Specification 0.8: a relative path in a variable counts as not set. */
export function readSurroundings(env: Readonly<Record<string, string | undefined>>): Surroundings {
  const homeDirectory = absolute(env.HOME) ?? homedir()
  return {
    homeDirectory,
    stateDirectory: absolute(env.XDG_STATE_HOME) ?? join(homeDirectory, '.local', 'state'),
    configDirectory: absolute(env.XDG_CONFIG_HOME) ?? join(homeDirectory, '.config'),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
  }
}

function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined
}
