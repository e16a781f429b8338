import type { Observation } from '../environment.ts'
import type { JobMark } from '../job-files/job-files.ts'
import type { JobEnd } from '../job-files/job-script.ts'
import { signalName } from '../signal-name.ts'

export const cancelled: Observation = { kind: 'stopped', cause: 'cancelled', message: 'It was cancelled.' }

/** What the files of a job say of it; undefined where there are none. */
export function observationOfMark(mark: JobMark): Observation | undefined {
  switch (mark.kind) {
    case 'absent':
      return undefined
    case 'waiting':
      return mark.isCancelled ? cancelled : { kind: 'queued' }
    case 'started':
      return { kind: 'running', host: mark.host }
    case 'ended':
      return observationOfEnd(mark.end, mark.isCancelled, mark.host)
  }
}

/** How a job ended. One that ended by itself before it could be stopped has ended by itself. */
export function observationOfEnd(end: JobEnd, isCancelled: boolean, host?: string): Observation {
  if (isCancelled) return cancelled
  switch (end.kind) {
    case 'exited':
      return { kind: 'exited', exitCode: end.exitCode, ...(host !== undefined && { host }) }
    case 'signalled':
      return { kind: 'stopped', cause: 'signal', message: `It was ended by ${signalName(end.signal)}.` }
    case 'timeout':
      return { kind: 'stopped', cause: 'timeout', message: 'It ran longer than its wall time.' }
    case 'failed':
      return { kind: 'stopped', cause: 'unknown', message: end.message }
    case 'abandoned':
      return { kind: 'stopped', cause: 'node-failure', message: end.message }
  }
}
