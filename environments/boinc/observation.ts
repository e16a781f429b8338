import type { Observation } from '../../src/environment/environment.ts'
import { signalName } from '../../src/environment/signal-name.ts'
import type { WorkunitProgress } from '../../src/environment/volunteers.ts'
import type { JobEnd } from '../../src/volunteers/result-record.ts'

/** How far a job is whose workunit has no result yet, or never will. */
export function observationOf(progress: Exclude<WorkunitProgress, { kind: 'done' }>): Observation {
  switch (progress.kind) {
    case 'queued':
    case 'running':
      return progress
    case 'cancelled':
      return cancelled
    case 'failed':
      return progress.cause === 'lost'
        ? { kind: 'lost', message: progress.message }
        : { kind: 'stopped', cause: progress.cause, message: progress.message }
  }
}

export const cancelled: Observation = { kind: 'stopped', cause: 'cancelled', message: 'cancelled' }

/** How a job ended by the record of the result that counts; undefined where the record does not tell. */
export function observationOfEnd(end: JobEnd | undefined, host: string): Observation {
  const stopped = (cause: (Observation & { kind: 'stopped' })['cause'], message: string): Observation => ({
    kind: 'stopped',
    cause,
    message: `${message} on ${host}`,
  })
  switch (end?.kind) {
    case 'exited':
      return { kind: 'exited', exitCode: end.code ?? 0, host }
    case 'signal':
      return stopped('signal', `ended by ${signalName(end.code ?? 0)}`)
    case 'timeout':
      return stopped('timeout', `ended after ${end.seconds} s, its wall time,`)
    case 'memory':
      return stopped('out-of-memory', 'ended for taking more memory than it asked for')
    case 'disk':
      return stopped('limit', 'ended for writing more than the option disk lets it')
    case 'abandoned':
      return stopped('unknown', 'what waited for it was killed')
    case undefined:
      return stopped('unknown', 'the result does not tell how it ended')
  }
}
