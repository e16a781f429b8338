import type { Observation, StopCause } from '../environment.ts'
import type { JobMark } from '../job-files/job-files.ts'
import { signalName } from '../signal-name.ts'
import type { Listing } from './scheduler.ts'

/** All that is known of a job when it is judged. */
export interface Evidence {
  /** Looked at after the list was asked for. */
  readonly mark: JobMark
  /** The scheduler's word, from its list; undefined where it no longer lists the job. */
  readonly listing: Listing | undefined
  /** The accounting's word on jobs that are not listed; undefined where it has none (yet). */
  readonly accounted: Listing | undefined
  /** Whether the accounting may still come to know. */
  readonly mayBeAccounted: boolean
  /** How long nothing was heard that explains the job, in milliseconds. */
  readonly missingMs: number
  readonly limits: VerdictLimits
}

export interface VerdictLimits {
  /** How late the exit file of a job that left the list may be: network file systems show new files late. */
  readonly exitFileGraceMs: number
  /** How long the scheduler is waited for to say why a signal ended a job. */
  readonly causeGraceMs: number
}

/** What to make of it. */
export interface Verdict {
  readonly observation: Observation
  /** Nothing explains the job so far: time counts until the next look. */
  readonly isMissing: boolean
  /** It must be cancelled, or the scheduler keeps it for ever. */
  readonly isStuck?: boolean
  /** Nobody says why it ended: the log of its batch may. */
  readonly isSilent?: boolean
}

/**
 * Judges one job. Exit codes come from its own exit file only; the scheduler's word counts where there is none, and
 * for the cause of a signal. A job that nobody explains is waited for, then lost.
 */
export function judge(evidence: Evidence): Verdict {
  const { mark } = evidence
  if (mark.kind === 'absent')
    return certain({ kind: 'lost', message: 'The directory of the job is not there (any more).' })
  if (mark.kind !== 'ended') return judgeOpen(evidence, mark)
  const verdict = judgeEnded(evidence, mark)
  // HTCondor keeps jobs that it held and ended for ever.
  return evidence.listing?.kind === 'stuck' ? { ...verdict, isStuck: true } : verdict
}

function judgeEnded(evidence: Evidence, mark: Extract<JobMark, { kind: 'ended' }>): Verdict {
  const { end, host } = mark
  if (mark.isCancelled) return certain(cancelled)
  const word = wordOf(evidence)
  const mayHearMore = evidence.listing?.kind === 'running' || (word === undefined && evidence.mayBeAccounted)
  const isOpen = mayHearMore && evidence.missingMs < evidence.limits.causeGraceMs
  if (end.kind === 'exited') {
    // What a shell says of its child that was ended by SIGKILL or SIGTERM: of a job that the scheduler stopped.
    const isOfSignal = end.exitCode === 137 || end.exitCode === 143
    if (isOfSignal && word?.kind === 'stopped' && isCause(word.cause)) return certain(word)
    if (isOfSignal && isOpen) return { observation: running(host), isMissing: true }
    return certain({ kind: 'exited', exitCode: end.exitCode, ...(host !== undefined && { host }) })
  }
  if (end.kind === 'timeout')
    return certain({ kind: 'stopped', cause: 'timeout', message: 'It ran longer than its wall time.' })
  if (end.kind === 'abandoned')
    return certain({ kind: 'stopped', cause: 'node-failure', message: end.message })
  if (end.kind === 'failed') return certain({ kind: 'stopped', cause: 'unknown', message: end.message })
  if (word?.kind === 'stopped' && isCause(word.cause)) return certain(word)
  if (isOpen) return { observation: running(host), isMissing: true }
  return certain({
    kind: 'stopped',
    cause: 'signal',
    message: `It was ended by ${signalName(end.signal)}.`,
  })
}

function judgeOpen(
  evidence: Evidence,
  mark: Extract<JobMark, { readonly kind: 'waiting' | 'started' }>,
): Verdict {
  const { listing, accounted } = evidence
  const word = listing ?? accounted
  switch (word?.kind) {
    case 'queued':
    case 'running':
    case 'unclear':
      return certain(word)
    case 'stuck':
      return { observation: mark.isCancelled ? cancelled : word.stopped, isMissing: false, isStuck: true }
    case 'stopped':
      return certain(mark.isCancelled ? cancelled : word)
    case 'ended':
    case undefined:
  }
  if (mark.isCancelled) return certain(cancelled)
  if (evidence.missingMs < evidence.limits.exitFileGraceMs)
    return {
      observation: mark.kind === 'started' ? running(mark.host) : { kind: 'queued' },
      isMissing: true,
    }
  if (word === undefined)
    return certain({
      kind: 'lost',
      message: 'The scheduler does not know the job any more, and it left no exit file.',
    })
  const code = word.exitCode === undefined ? '' : ` with exit code ${word.exitCode}`
  const where = mark.kind === 'started' ? ` on ${mark.host}` : ', and it never started'
  const message = `The scheduler says that it ended${code}, but it left no exit file${where}. Do the computers of jobs see the work directory?`
  return { observation: { kind: 'stopped', cause: 'unknown', message }, isMissing: false, isSilent: true }
}

const cancelled: Observation = { kind: 'stopped', cause: 'cancelled', message: 'It was cancelled.' }

function certain(observation: Observation): Verdict {
  return { observation, isMissing: false }
}

function running(host: string | undefined): Observation {
  return { kind: 'running', ...(host !== undefined && { host }) }
}

/** Whether it explains a signal. */
function isCause(cause: StopCause): boolean {
  return cause !== 'unknown' && cause !== 'signal'
}

/** What the scheduler says of a job that is over. */
function wordOf({ listing, accounted }: Evidence): Listing | undefined {
  if (listing?.kind === 'stuck') return listing.stopped
  return listing?.kind === 'queued' || listing?.kind === 'running' ? accounted : (listing ?? accounted)
}
