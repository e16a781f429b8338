import type { Listing } from '../../src/environment/batch/scheduler.ts'

/** What the letters of qstat's state column mean: qstat(1). `reason` is why a job is in the error state. */
export function listingOf(state: string, host: string, reason: string | undefined): Listing {
  // Whatever else is said beside an E: it stays until someone acts.
  if (state.includes('E'))
    return {
      kind: 'stuck',
      stopped: {
        kind: 'stopped',
        cause: 'unknown',
        message: `SGE could not start the job (state ${state}): ${reason ?? 'it gave no reason'}.`,
      },
    }
  // On its way out of the queue: accounting and the exit file tell how it ended.
  if (/^d?[RrtsSTNP]*$/.test(state) && /[rtsSTN]/.test(state) && !state.includes('q'))
    return { kind: 'running', ...(host !== '' && { host }) }
  if (/^[dhRP]*[qw]+$/.test(state))
    return { kind: 'queued', ...(state.includes('h') && { reason: `held in SGE (${state})` }) }
  if (state === 'z') return { kind: 'ended' }
  return { kind: 'unclear', message: `SGE's state ${JSON.stringify(state)} is not known.` }
}

/** One task's record of qacct(1). */
export interface AccountRecord {
  /** Zero, or why SGE takes the run for failed. */
  readonly failed: number
  /** What stands behind the number. */
  readonly words: string
  readonly exitStatus: number
}

/** What a record tells; undefined where it is none of an end: the job was put back and runs again. */
export function listingOfRecord({ failed, words, exitStatus }: AccountRecord): Listing | undefined {
  const said = words === '' ? '' : ` (${words})`
  if (failed === 25) return undefined
  if (failed === 0) return { kind: 'ended', exitCode: exitStatus }
  if (failed === 37 || failed === 39)
    return {
      kind: 'stopped',
      cause: 'timeout',
      message: `SGE ended the job, which ran longer than it had asked for${said}.`,
    }
  // A deletion looks the same as any other signal.
  if (failed === 100)
    return {
      kind: 'stopped',
      cause: 'signal',
      message: `The job was ended by signal ${exitStatus > 128 ? exitStatus - 128 : exitStatus}${said}.`,
    }
  return {
    kind: 'stopped',
    cause: 'unknown',
    message: `SGE could not run the job: failure ${failed}${said}.`,
  }
}
