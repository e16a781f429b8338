import { toProblem } from '../problem.ts'
import type { ExecutionState } from './contract.ts'
import { describeRun } from './describe-run.ts'
import { entryFacts, summarize, type IndexEntry } from './execution-index.ts'
import type { RunEnding } from './run-resources.ts'
import type { Run } from './run.ts'

/** Why an execution did not finish, or undefined when it did. */
export function describeEnding(ending: RunEnding): ExecutionState['error'] {
  if (ending.kind === 'cancelled') return { message: 'The execution was cancelled.' }
  if (ending.kind !== 'failed') return undefined
  return { message: ending.message, ...(ending.stack !== '' && { stackTrace: ending.stack }) }
}

/**
 * Commits the end of a run to its journal and answers with the last state. An execution whose journal cannot be
 * written any more has failed for that reason.
 */
export async function writeEnd(entry: IndexEntry, run: Run, ending: RunEnding): Promise<ExecutionState> {
  const error = describeEnding(ending)
  try {
    run.journal.event('ended', { state: entry.state, isCancelled: entry.isCancelled })
    await run.journal.flushed()
    const state = describeRun(summarize(entry), run)
    const last = error === undefined ? state : { ...state, error }
    run.journal.record(entryFacts(entry, last))
    await run.journal.flushed()
    return last
  } catch (failure) {
    const { message } = toProblem(failure)
    // Nothing more will be committed: what has ended does not run on because of that.
    run.tally.commit(run.tally.snapshot())
    return { ...describeRun(summarize(entry), run), state: 'failed', error: { message } }
  }
}
