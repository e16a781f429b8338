import type { DatabaseSync } from 'node:sqlite'
import { Problem } from '../problem.ts'
import type { Plan } from '../workflow/plan.ts'
import type { JobPage, JobQuery, JobRow, JobState } from './contract.ts'
import type { Job } from './job.ts'

const largestPage = 1000

/**
 * A page of an execution's jobs. Those under way are taken from memory, the others from the journal.
 * Throws Problem parameter-invalid for a capsule that the workflow does not have.
 */
export function listJobs(reader: DatabaseSync, plan: Plan, live: readonly Job[], query: JobQuery): JobPage {
  const step = query.capsule === undefined ? undefined : findCapsule(plan, query.capsule)
  const limit = Math.min(largestPage, Math.max(1, Math.floor(query.limit)))
  const after = query.after ?? 0
  const underWay = new Map(
    live
      .filter(
        (job) =>
          job.id > after &&
          (step === undefined || job.activation.step === step) &&
          (query.state === undefined || job.state === query.state),
      )
      .map((job) => [job.id, liveRow(job, plan)]),
  )
  const isLive = new Set(live.map(({ id }) => id))
  const stored = readRows(reader, plan, { step, state: query.state, after, limit: limit + isLive.size + 1 })
    .filter(({ id }) => !isLive.has(id))
    .slice(0, limit + 1)
  const rows = [...underWay.values(), ...stored].sort((a, b) => a.id - b.id)
  const jobs = rows.slice(0, limit)
  return { jobs, next: rows.length > limit ? (jobs.at(-1)?.id ?? null) : null }
}

function findCapsule(plan: Plan, name: string): number {
  const index = plan.steps.findIndex((step) => step.kind === 'capsule' && step.name === name)
  if (index >= 0) return index
  const names = plan.steps.flatMap((step) => (step.kind === 'capsule' ? [step.name] : []))
  throw new Problem('parameter-invalid', `There is no capsule ${JSON.stringify(name)}.`, {
    hint: `The workflow has ${names.join(', ')}.`,
  })
}

function readRows(
  reader: DatabaseSync,
  plan: Plan,
  wanted: { step: number | undefined; state: JobState | undefined; after: number; limit: number },
): JobRow[] {
  const conditions = ['id > ?']
  const parameters: (number | string)[] = [wanted.after]
  if (wanted.step !== undefined) {
    conditions.push('step = ?')
    parameters.push(wanted.step)
  }
  if (wanted.state !== undefined) {
    conditions.push('state = ?')
    parameters.push(wanted.state)
  }
  return reader
    .prepare(`SELECT * FROM jobs WHERE ${conditions.join(' AND ')} ORDER BY id LIMIT ?`)
    .all(...parameters, wanted.limit)
    .map((row) => ({
      id: Number(row['id']),
      capsule: capsuleName(plan, Number(row['step'])),
      ticket: String(row['ticket']),
      state: row['state'] as JobState,
      attempts: Number(row['attempts']),
      environment: plan.environments[Number(row['environment'])]?.name ?? '',
      exitCode: row['exit_code'] as number | null,
      readyAt: row['ready_at'] as number | null,
      startedAt: row['started_at'] as number | null,
      endedAt: row['ended_at'] as number | null,
      error: row['error'] as string | null,
    }))
}

function liveRow(job: Job, plan: Plan): JobRow {
  const { id, activation, state, attempts, capsule, environment, exitCode } = job
  const { readyAt, startedAt, endedAt, error } = job
  return {
    id,
    capsule: capsule.name,
    ticket: activation.frame.ticket,
    state,
    attempts,
    environment: plan.environments[environment]?.name ?? '',
    exitCode,
    readyAt,
    startedAt,
    endedAt,
    error,
  }
}

function capsuleName(plan: Plan, index: number): string {
  const step = plan.steps[index]
  return step?.kind === 'capsule' ? step.name : ''
}
