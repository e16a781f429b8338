import { sizeOfTree } from '../../files/tree-size.ts'
import type { OwnExecutions } from '../access/executions-of.ts'
import { isUnknown, type Jobs } from './jobs.ts'
import type { StoredJobs } from './stored-jobs.ts'

/** Something to be done by the clock: see `src/schedule`. */
export interface CaesarTask {
  readonly name: string
  readonly run: (signal: AbortSignal) => Promise<void>
}

/** Jobs that are measured in one go. */
const measuredAtOnce = 500

/**
 * What becomes of jobs is written down although nobody asks: so it is known when their executions are removed. And the
 * files of jobs that have ended are measured, for the accounts.
 */
export function caesarTasks(store: StoredJobs, jobs: Jobs, executions: OwnExecutions): readonly CaesarTask[] {
  return [
    { name: 'caesar-monitor', run: async () => jobs.refreshLive(undefined) },
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
