import type { JobHandle, JobId } from '../environment/environment.ts'
import type { Job } from './job.ts'
import type { RunJournal } from './run-journal.ts'

/** An attempt of an earlier life of the server that had not ended then. */
export interface StoredAttempt {
  readonly id: JobId
  /** Jobs it stands for, in their order. */
  readonly jobs: readonly number[]
  readonly number: number
  readonly environment: number
  /** Undefined where the server ended before it knew whether the environment has taken the attempt. */
  readonly handle: JobHandle | undefined
  readonly startedAt: number
}

interface Waiting {
  readonly attempt: StoredAttempt
  readonly jobs: (Job | undefined)[]
}

/** Attempts of earlier lives of the server, until their jobs are there again. */
export class StoredAttempts {
  readonly #waiting = new Map<number, Waiting>()

  constructor(journal: RunJournal) {
    for (const attempt of journal.unendedAttempts()) {
      const waiting: Waiting = { attempt, jobs: attempt.jobs.map(() => undefined) }
      for (const job of attempt.jobs) this.#waiting.set(job, waiting)
    }
  }

  /** The attempt that stands for a job; it is whole when it has been claimed for all its jobs. */
  claim(
    job: Job,
  ):
    | { readonly attempt: StoredAttempt; readonly jobs: readonly Job[]; readonly isWhole: boolean }
    | undefined {
    const found = this.#waiting.get(job.id)
    if (found === undefined) return undefined
    const { attempt, jobs } = found
    jobs[attempt.jobs.indexOf(job.id)] = job
    const claimed = jobs.filter((each) => each !== undefined)
    const isWhole = claimed.length === jobs.length
    if (isWhole) for (const id of attempt.jobs) this.#waiting.delete(id)
    return { attempt, jobs: claimed, isWhole }
  }

  /** Attempts whose jobs have not all come. */
  unclaimed(): readonly StoredAttempt[] {
    return [...new Set([...this.#waiting.values()].map(({ attempt }) => attempt))]
  }
}
