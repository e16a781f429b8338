import type { ExecutionState, JobRow } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import { remainingSeconds } from './estimate.ts'
import { isOver, standingOf, type JobStanding } from './job-states.ts'
import type { SubmissionParts, Submitter } from './parts.ts'
import type { BatchRecord, JobRecord } from './store.ts'

/** A batch as it stands now. */
export interface BatchView {
  readonly batch: BatchRecord
  readonly state: BatchState
  readonly succeeded: number
  readonly failed: number
  /** From 0 to 1: jobs that have ended. */
  readonly fractionDone: number
  readonly remainingSeconds: number
  /** Milliseconds since 1970; 0 while it is under way. */
  readonly completedAt: number
}

/** As numbers of BOINC. */
export const batchStates = { init: 0, inProgress: 1, complete: 2, aborted: 3, retired: 4 } as const
export type BatchState = (typeof batchStates)[keyof typeof batchStates]

/** A job as it stands now. */
export interface JobView {
  readonly job: JobRecord
  readonly standing: JobStanding
  readonly attempts: number
  readonly environment: string
  readonly exitCode: number | null
  readonly error: string | null
  /** Of the last attempt; null before it began. */
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** When anything of it has changed last, in milliseconds since 1970. */
  readonly changedAt: number
}

type ViewParts = Pick<SubmissionParts, 'store' | 'now'>

/** Looks at a batch as a whole. Costs the same however many jobs it has, but for those that were aborted one by one. */
export function viewBatch(batch: BatchRecord, submitter: Submitter, parts: ViewParts): BatchView {
  const state = stateOf(batch.execution, submitter)
  const { succeeded, failed } = countEnded(batch, state, submitter, parts)
  const ended = succeeded + failed
  const isUnderWay = state?.state === 'running'
  const now = parts.now()
  return {
    batch,
    succeeded,
    failed,
    state: batchStateOf(batch, state),
    fractionDone: batch.jobs === 0 ? Number(batch.phase === 'started') : ended / batch.jobs,
    remainingSeconds:
      isUnderWay && batch.abortedAt === 0
        ? remainingSeconds({
            jobs: batch.jobs,
            ended,
            estimatedSeconds: batch.estimatedSeconds,
            secondsSinceSubmit: (now - batch.submittedAt) / 1000,
            secondsSinceBegun: (now - state.startedAt) / 1000,
          })
        : 0,
    completedAt: completedAt(batch, state),
  }
}

/** All jobs of a batch by their position. */
export function viewJobs(batch: BatchRecord, submitter: Submitter, { store }: ViewParts): readonly JobView[] {
  const state = stateOf(batch.execution, submitter)
  const rows = state === undefined ? new Map<number, JobRow>() : rowsOf(batch.execution, submitter)
  return store.jobs(batch.id).map((job) => viewJob(job, batch, state, rows.get(job.number)))
}

/** Mean run time of the user's latest jobs of an app, in seconds; undefined where none has ended well. */
export function meanRunSeconds(
  app: string,
  submitter: Submitter,
  { store }: Pick<SubmissionParts, 'store'>,
): number | undefined {
  const batches = store
    .batches(submitter.owner)
    .filter((batch) => batch.app === app && batch.execution !== '')
    .slice(-batchesRemembered)
  const times = batches.flatMap(({ execution }) => {
    if (stateOf(execution, submitter) === undefined) return []
    const { jobs } = submitter.executions.jobs(execution, { state: 'completed', limit: 1000 })
    return jobs.flatMap(({ startedAt, endedAt }) =>
      startedAt === null || endedAt === null ? [] : [(endedAt - startedAt) / 1000],
    )
  })
  return times.length === 0 ? undefined : times.reduce((sum, each) => sum + each, 0) / times.length
}

const batchesRemembered = 5

/** How many jobs of a user's batches have not ended. */
export function unfinishedJobs(submitter: Submitter, { store }: Pick<SubmissionParts, 'store'>): number {
  return store.batches(submitter.owner).reduce((sum, { execution }) => {
    const state = stateOf(execution, submitter)
    return state?.state === 'running' ? sum + state.counts.ready + state.counts.running : sum
  }, 0)
}

/** Whether the jobs of a batch may still change. */
export function isUnderWay({ execution }: BatchRecord, submitter: Submitter): boolean {
  return stateOf(execution, submitter)?.state === 'running'
}

/** The execution behind a batch; undefined where there is none, or none any more. */
function stateOf(execution: string, { executions }: Submitter): ExecutionState | undefined {
  if (execution === '') return undefined
  try {
    return executions.state(execution)
  } catch (error) {
    if (error instanceof Problem && error.code === 'execution-unknown') return undefined
    throw error
  }
}

function batchStateOf(batch: BatchRecord, state: ExecutionState | undefined): BatchState {
  if (batch.retiredAt > 0) return batchStates.retired
  if (batch.abortedAt > 0 || state?.isCancelled === true) return batchStates.aborted
  if (batch.phase !== 'started') return batchStates.init
  if (batch.jobs === 0) return batchStates.complete
  // Somebody has removed its execution.
  if (state === undefined) return batchStates.aborted
  return state.state === 'running' ? batchStates.inProgress : batchStates.complete
}

function completedAt(batch: BatchRecord, state: ExecutionState | undefined): number {
  if (state?.endedAt !== undefined && state.endedAt !== null) return state.endedAt
  if (batch.abortedAt > 0) return batch.abortedAt
  return batch.jobs === 0 && batch.phase === 'started' ? batch.submittedAt : 0
}

function countEnded(
  batch: BatchRecord,
  state: ExecutionState | undefined,
  submitter: Submitter,
  parts: ViewParts,
): { readonly succeeded: number; readonly failed: number } {
  if (batch.phase !== 'started') return { succeeded: 0, failed: 0 }
  const abortedAlone = parts.store.abortedJobs(batch.id)
  if (abortedAlone > 0) {
    const standings = viewJobs(batch, submitter, parts).map(({ standing }) => standing)
    const succeeded = standings.filter((each) => each === 'done').length
    return { succeeded, failed: standings.filter((each) => isOver(each)).length - succeeded }
  }
  if (state === undefined) return { succeeded: 0, failed: batch.jobs }
  const { completed, failed } = state.counts
  const isEnded = batch.abortedAt > 0 || state.state !== 'running'
  return { succeeded: completed, failed: isEnded ? batch.jobs - completed : failed }
}

function rowsOf(execution: string, { executions }: Submitter): ReadonlyMap<number, JobRow> {
  const rows = new Map<number, JobRow>()
  let after = 0
  for (;;) {
    const page = executions.jobs(execution, { after, limit: 1000 })
    for (const row of page.jobs) rows.set(Number(row.ticket), row)
    if (page.next === null) return rows
    after = page.next
  }
}

function viewJob(
  job: JobRecord,
  batch: BatchRecord,
  state: ExecutionState | undefined,
  row: JobRow | undefined,
): JobView {
  const { startedAt = null, endedAt = null, exitCode = null, error = null } = row ?? {}
  const standing = standingIn(job, batch, state, row)
  const isAborted = standing === 'aborted'
  const abortedAt = Math.max(job.abortedAt, batch.abortedAt, isAborted ? (state?.endedAt ?? 0) : 0)
  return {
    job,
    standing,
    attempts: row?.attempts ?? 0,
    environment: row?.environment ?? '',
    exitCode,
    error,
    startedAt,
    endedAt: endedAt ?? (isOver(standing) ? (state?.endedAt ?? null) : null),
    changedAt: Math.max(batch.submittedAt, startedAt ?? 0, endedAt ?? 0, isAborted ? abortedAt : 0),
  }
}

function standingIn(
  job: JobRecord,
  batch: BatchRecord,
  state: ExecutionState | undefined,
  row: JobRow | undefined,
): JobStanding {
  const own = row === undefined ? 'unsent' : standingOf(row)
  if (own === 'done') return job.abortedAt > 0 && (row?.endedAt ?? 0) > job.abortedAt ? 'aborted' : 'done'
  if (job.abortedAt > 0) return isOver(own) && (row?.endedAt ?? Infinity) <= job.abortedAt ? own : 'aborted'
  const isEnded = state === undefined || state.state !== 'running' || batch.abortedAt > 0
  if (isOver(own) || !isEnded) return own
  return batch.abortedAt > 0 || state === undefined || state.isCancelled ? 'aborted' : 'error'
}
