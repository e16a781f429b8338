import type { JobRow } from '../../engine/contract.ts'

/** How a job of a batch stands, in the terms in which the protocol tells of it. */
export type JobStanding = 'unsent' | 'running' | 'done' | 'error' | 'lost' | 'refused' | 'aborted'

interface Words {
  /** Of query_batch with details. */
  readonly status: 'queued' | 'in_progress' | 'done' | 'error'
  /** Of query_batch2. */
  readonly condor: 'UNSENT' | 'IN_PROGRESS' | 'DONE' | 'ERROR'
  /** Of query_job, shown to people. */
  readonly phrase: string
  /** Of a job that did not end well. */
  readonly error?: { readonly word: string; readonly bit: number }
}

/** The words for each standing. */
export const words: Readonly<Record<JobStanding, Words>> = {
  unsent: { status: 'queued', condor: 'UNSENT', phrase: 'Unsent' },
  running: { status: 'in_progress', condor: 'IN_PROGRESS', phrase: 'In progress' },
  done: { status: 'done', condor: 'DONE', phrase: 'Completed and validated' },
  error: {
    status: 'error',
    condor: 'ERROR',
    phrase: 'Error while computing',
    error: { word: 'too_many_error_results', bit: 2 },
  },
  lost: {
    status: 'error',
    condor: 'ERROR',
    phrase: 'Timed out - no response',
    error: { word: 'too_many_total_results', bit: 8 },
  },
  refused: {
    status: 'error',
    condor: 'ERROR',
    phrase: "Couldn't send",
    error: { word: 'couldnt_send_result', bit: 1 },
  },
  aborted: {
    status: 'error',
    condor: 'ERROR',
    phrase: 'Cancelled by server',
    error: { word: 'cancelled', bit: 16 },
  },
}

/** Whether it has ended, well or badly. */
export function isOver(standing: JobStanding): boolean {
  return standing !== 'unsent' && standing !== 'running'
}

/** How a job of the engine stands. */
export function standingOf(job: Pick<JobRow, 'state' | 'error'>): JobStanding {
  switch (job.state) {
    case 'ready':
    case 'submitted':
      return 'unsent'
    case 'running':
      return 'running'
    case 'completed':
      return 'done'
    case 'cancelled':
      return 'aborted'
    case 'failed':
      if (job.error?.startsWith('The environment refused') === true) return 'refused'
      return job.error?.startsWith('The environment lost') === true ? 'lost' : 'error'
  }
}
