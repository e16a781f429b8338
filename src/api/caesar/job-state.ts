import type { ExecutionState, JobRow } from '../../engine/contract.ts'

export const terminalStates = ['SUCCESS', 'FAILURE', 'TIMED-OUT', 'ABORTED', 'CANCELED', 'CLEARED'] as const
export type TerminalState = (typeof terminalStates)[number]

/** How a job ended. It is written once and never changes. */
export interface JobEnd {
  readonly state: TerminalState
  readonly status: string
  readonly exitCode: number
}

/** Where a job stands that has not ended. */
export interface JobStanding {
  readonly state: 'PENDING' | 'RUNNING'
  readonly status: string
}

export const pending: JobStanding = { state: 'PENDING', status: 'Task pending to be executed' }
export const running: JobStanding = { state: 'RUNNING', status: 'Task running in background' }

/** A job of which only its record is left. */
export const cleared: JobEnd = {
  state: 'CLEARED',
  status: 'Job was presumably cleared and finished with unknown state',
  exitCode: -1,
}

/** Whether anything of an execution has begun. Clients take a job that was running for running until its end. */
export function hasBegun({ counts }: Pick<ExecutionState, 'counts'>): boolean {
  return counts.running > 0 || counts.completed > 0 || counts.failed > 0
}

/**
 * How an execution ended, in the words of caesar-rest. `failed` is one of its jobs that failed, where there is one.
 * What the environment is to blame for is a FAILURE with the exit code 126: some clients wait on after ABORTED.
 */
export function endOf(
  execution: Pick<ExecutionState, 'state' | 'isCancelled' | 'error'>,
  failed: Pick<JobRow, 'exitCode' | 'error'> | undefined,
): JobEnd {
  if (execution.state === 'finished')
    return { state: 'SUCCESS', status: 'Process terminated with success', exitCode: 0 }
  if (execution.isCancelled) return { state: 'CANCELED', status: 'Job canceled by user', exitCode: -1 }
  const message = failed?.error ?? execution.error?.message ?? ''
  const cause = /was stopped \(([a-z-]+)\)/.exec(message)?.[1]
  if (cause === 'timeout') return { state: 'TIMED-OUT', status: 'Task exceeded time limits', exitCode: 124 }
  const told = cause === undefined ? undefined : statusByCause[cause]
  if (told !== undefined) return failure(told, environmentsFault)
  if (/environment (?:refused|lost) the job/.test(message))
    return failure('Job terminated due to an error of its environment', environmentsFault)
  const exitCode = failed?.exitCode ?? 1
  return failure(`Process terminated with return code ${exitCode}`, exitCode === 0 ? 1 : exitCode)
}

const environmentsFault = 126

const statusByCause: Readonly<Record<string, string>> = {
  'out-of-memory': 'Job terminated due to experienced out of memory error',
  'node-failure': 'Job terminated due to node failure',
  preempted: 'Job terminated due to preemption',
}

function failure(status: string, exitCode: number): JobEnd {
  return { state: 'FAILURE', status, exitCode }
}
