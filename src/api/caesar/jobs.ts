import type { ExecutionState } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import type { OwnExecutions } from '../access/executions-of.ts'
import { cleared, endOf, hasBegun, type JobEnd } from './job-state.ts'
import { hasEnded, type StoredJob, type StoredJobs } from './stored-jobs.ts'

/** Keeps the records of jobs true to their executions. */
export interface Jobs {
  /** The record as it is now: an end that is seen first here is written down. */
  refresh(job: StoredJob): StoredJob
  refreshLive(owner: string | undefined): void
  /** Whole seconds since it was submitted, until its end. */
  elapsedSeconds(job: StoredJob): number
  /** Starts a job that is on record. When that fails, the record is gone and the error is thrown. */
  begin(id: string, start: () => Promise<string>): Promise<void>
  /** Resolves when a job that is being started is started; throws what `begin` throws. */
  begun(id: string): Promise<void>
  /** Asks a job to end, and answers when it has: with how it ended. */
  cancel(job: StoredJob, executions: OwnExecutions): Promise<StoredJob>
}

/** From the end of its processes to the end of an execution it takes moments, unless the disk is full. */
const longestEndMs = 60_000

/** The label of the execution that runs a job. */
export const jobLabel = 'caesar.job'

/**
 * Takes up the jobs on record. One that was being started when the server ended is found by its label, or forgotten:
 * its client never got an answer.
 */
export function openJobs(store: StoredJobs, executions: OwnExecutions, now: () => number): Jobs {
  const beginning = new Map<string, Promise<void>>()
  for (const { id, execution } of store.listLive(undefined)) {
    if (execution !== undefined) continue
    const [found] = executions.list({ labels: { [jobLabel]: id } })
    if (found === undefined) store.remove(id)
    else store.setExecution(id, found.id)
  }

  const refresh = (job: StoredJob): StoredJob => {
    const { id, execution } = job
    if (hasEnded(job) || execution === undefined) return job
    const state = known(() => executions.state(execution))
    if (state === undefined) return end(job, cleared, now())
    if (state.state === 'running') {
      if (job.state !== 'PENDING' || !hasBegun(state)) return job
      store.setRunning(id)
      return store.find(id, undefined) ?? job
    }
    return end(job, endOf(state, failedJob(executions, state)), state.endedAt ?? now())
  }
  const end = (job: StoredJob, how: JobEnd, endedAt: number): StoredJob => {
    store.setEnd(job.id, how, secondsBetween(job.submittedAt, endedAt))
    return store.find(job.id, undefined) ?? job
  }

  return {
    refresh,
    refreshLive(owner) {
      for (const job of store.listLive(owner)) refresh(job)
    },
    elapsedSeconds: (job) =>
      job.elapsedSeconds ?? (job.state === 'PENDING' ? 0 : secondsBetween(job.submittedAt, now())),
    async begin(id, start) {
      const starting = start().then(
        (execution) => store.setExecution(id, execution),
        (error: unknown) => {
          store.remove(id)
          throw error
        },
      )
      beginning.set(id, starting)
      try {
        await starting
      } finally {
        beginning.delete(id)
      }
    },
    async begun(id) {
      await beginning.get(id)
    },
    async cancel(job, own) {
      await beginning.get(job.id)
      const { execution } = store.find(job.id, undefined) ?? job
      if (execution === undefined) return job
      try {
        await own.cancel(execution)
        await own.ended(execution, AbortSignal.timeout(longestEndMs))
      } catch (error) {
        if (!isUnknown(error)) throw error
      }
      return refresh(store.find(job.id, undefined) ?? job)
    },
  }
}

function failedJob(executions: OwnExecutions, { id, state }: ExecutionState) {
  return state === 'failed'
    ? known(() => executions.jobs(id, { state: 'failed', limit: 1 }).jobs[0])
    : undefined
}

/** What `ask` says, or nothing where the execution is gone. */
function known<Answer>(ask: () => Answer): Answer | undefined {
  try {
    return ask()
  } catch (error) {
    if (isUnknown(error)) return undefined
    throw error
  }
}

export function isUnknown(error: unknown): boolean {
  return error instanceof Problem && error.code === 'execution-unknown'
}

function secondsBetween(startMs: number, endMs: number): number {
  return Math.max(0, Math.round((endMs - startMs) / 1000))
}
