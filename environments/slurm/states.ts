import type { StopCause } from '../../src/environment/environment.ts'
import type { Listing } from '../../src/environment/batch/scheduler.ts'

/** What Slurm says of one job, in a list, in its accounting or over HTTP. */
export interface SlurmJobState {
  /** `RUNNING`, `CANCELLED by 1001` ... More than the first word is ignored. */
  readonly state: string
  /** Why it waits or ended; Slurm's own word. */
  readonly reason?: string
  readonly host?: string
  /** Of the batch's script; absent where nothing is known of it, and then an end is only `ended`. */
  readonly exit?: { readonly code: number; readonly signal: number }
}

const queued = new Set(['PENDING', 'CONFIGURING', 'REQUEUED', 'REQUEUE_FED', 'POWER_UP_NODE'])
const running = new Set([
  'RUNNING',
  'COMPLETING',
  'SUSPENDED',
  'STOPPED',
  'RESIZING',
  'STAGE_OUT',
  'SIGNALING',
])

const stops: Readonly<Record<string, { readonly cause: StopCause; readonly message: string }>> = {
  CANCELLED: { cause: 'cancelled', message: 'was cancelled in Slurm' },
  TIMEOUT: { cause: 'timeout', message: 'ran longer than its time limit in Slurm' },
  DEADLINE: { cause: 'timeout', message: 'did not end before its deadline in Slurm' },
  OUT_OF_MEMORY: { cause: 'out-of-memory', message: 'needed more memory than it had asked Slurm for' },
  PREEMPTED: { cause: 'preempted', message: 'was preempted by a job of higher priority' },
  NODE_FAIL: { cause: 'node-failure', message: 'ended because a node failed' },
  BOOT_FAIL: { cause: 'node-failure', message: 'ended because a node did not boot' },
  REVOKED: { cause: 'unknown', message: 'was revoked by Slurm' },
  SPECIAL_EXIT: { cause: 'unknown', message: 'was put into the state SPECIAL_EXIT' },
  REQUEUE_HOLD: { cause: 'unknown', message: 'was requeued and held' },
}

/** Reasons that no waiting mends: of a pending job, as squeue writes them. */
const stuckReasons: readonly RegExp[] = [
  /^DependencyNeverSatisfied$/i,
  /requeued.*held/i,
  /^JobHoldMaxRequeue$/i,
  /^BadConstraints$/i,
]

/** What a job's state in Slurm means. A word that is not known is `unclear`. */
export function listingOf(job: SlurmJobState): Listing {
  const state = job.state.split(' ', 1)[0]!.replace(/\+$/, '')
  const reason = job.reason === undefined || job.reason === 'None' ? undefined : job.reason
  if (queued.has(state)) {
    if (reason !== undefined && stuckReasons.some((pattern) => pattern.test(reason)))
      return { kind: 'stuck', stopped: stopped('unknown', `would wait in Slurm for ever: ${reason}`) }
    return { kind: 'queued', ...(reason !== undefined && { reason }) }
  }
  if (running.has(state))
    return { kind: 'running', ...(job.host !== undefined && job.host !== '' && { host: job.host }) }
  if (state === 'COMPLETED') return { kind: 'ended' }
  if (state === 'FAILED') return failure(job, reason)
  const stop = stops[state]
  if (stop === undefined)
    return {
      kind: 'unclear',
      message: `Slurm's state ${JSON.stringify(job.state.slice(0, 100))} is not known.`,
    }
  return stopped(stop.cause, stop.message) satisfies Listing
}

function failure({ exit }: SlurmJobState, reason: string | undefined): Listing {
  if (exit === undefined) return { kind: 'ended' }
  // 53 stands where a signal stands, but says that the output file could not be opened.
  if (exit.signal === 53)
    return stopped('unknown', 'could not be started by Slurm: its log could not be opened')
  if (exit.signal !== 0) return stopped('signal', `was ended by signal ${exit.signal}`)
  if (exit.code !== 0) return { kind: 'ended', exitCode: exit.code }
  return stopped('unknown', `failed in Slurm${reason === undefined ? '' : `: ${reason}`}`)
}

function stopped(cause: StopCause, message: string) {
  return { kind: 'stopped', cause, message: `The job ${message}.` } as const
}

/** Slurm's wait status as its REST interface writes it: the signal in the low bits, the exit code above. */
export function exitOfWaitStatus(status: number): { readonly code: number; readonly signal: number } {
  return { code: (status >> 8) & 0xff, signal: status & 0x7f }
}
