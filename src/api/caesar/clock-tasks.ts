import { sizeOfTree } from '../../files/tree-size.ts'
import type { OwnExecutions } from '../access/executions-of.ts'
import { isUnknown, type Jobs } from './jobs.ts'
import type { StoredFiles } from './stored-files.ts'
import type { StoredJobs } from './stored-jobs.ts'

/** Something to be done by the clock: see `src/schedule`. */
export interface CaesarTask {
  readonly name: string
  readonly run: (signal: AbortSignal) => Promise<void>
}

/** Jobs that are measured in one go. */
const measuredAtOnce = 500

export interface CaesarTaskParts {
  readonly store: StoredJobs
  readonly files: StoredFiles
  readonly jobs: Jobs
  readonly executions: OwnExecutions
  /** Since when there is a user of that name, in milliseconds since 1970. */
  readonly userSince: (name: string) => number | undefined
}

/** Forgets what belonged to users who are gone: another one of the same name must not see it. */
export async function forgetStrangers({
  store,
  files,
  userSince,
}: Pick<CaesarTaskParts, 'store' | 'files' | 'userSince'>): Promise<void> {
  for (const owner of new Set([...store.owners(), ...files.owners()])) {
    if (owner === '') continue
    const since = userSince(owner) ?? Infinity
    store.removeOlder(owner, since)
    await files.removeOlder(owner, since)
  }
}

/**
 * What becomes of jobs is written down although nobody asks: so it is known when their executions are removed. And the
 * files of jobs that have ended are measured, for the accounts.
 */
export function caesarTasks(parts: CaesarTaskParts): readonly CaesarTask[] {
  const { store, jobs, executions } = parts
  return [
    {
      name: 'caesar-monitor',
      async run() {
        await forgetStrangers(parts)
        jobs.refreshLive(undefined)
      },
    },
    {
      name: 'caesar-accounting',
      async run(signal) {
        for (const { id, execution } of store.listUnmeasured(measuredAtOnce)) {
          signal.throwIfAborted()
          store.setBytes(id, execution === undefined ? 0 : await bytesOf(executions, execution))
        }
      },
    },
  ]
}

async function bytesOf(executions: OwnExecutions, execution: string): Promise<number> {
  try {
    return await sizeOfTree(executions.workDirectory(execution))
  } catch (error) {
    if (isUnknown(error)) return 0
    throw error
  }
}
