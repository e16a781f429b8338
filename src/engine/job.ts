import type { Write } from '../store/journal-schema.ts'
import { encodeJson, type Context } from '../workflow/context.ts'
import type { PlanCapsule } from '../workflow/plan.ts'
import type { JobState } from './contract.ts'
import type { Activation } from './state.ts'

/** A job that has not ended, as the engine keeps it. */
export interface Job {
  readonly id: number
  readonly activation: Activation
  readonly capsule: PlanCapsule
  /** Where it runs or ran last; before that, the first of those where it may run. */
  environment: number
  state: JobState
  attempts: number
  exitCode: number | null
  readonly readyAt: number
  startedAt: number | null
  endedAt: number | null
  error: string | null
}

/** The journal's row of a job. `output` is what later steps will need after a restart. */
export function writeJob(job: Job, output: Context | undefined): Write {
  return [
    'putJob',
    job.id,
    job.activation.step,
    job.activation.frame.ticket,
    job.state,
    job.attempts,
    job.environment,
    job.exitCode,
    job.readyAt,
    job.startedAt,
    job.endedAt,
    job.error,
    output === undefined ? null : encodeJson(output),
  ]
}

/** `model` or `model[3.17]`, as messages name a job. */
export function describeJob({ capsule, activation }: Job): string {
  const { ticket } = activation.frame
  return ticket === '' ? capsule.name : `${capsule.name}[${ticket}]`
}
