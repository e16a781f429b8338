import type { Job } from './job.ts'
import type { RunJournal } from './run-journal.ts'
import { count } from './tally.ts'

/** Moves jobs from state to state and keeps count of them. A job counts as waiting until it really runs. */
export class JobMoves {
  readonly #journal: RunJournal
  readonly #now: () => number

  constructor(journal: RunJournal, now: () => number) {
    this.#journal = journal
    this.#now = now
  }

  /** Jobs have been given to an environment; they count there as so many. */
  prepared(jobs: readonly Job[], environment: number, environmentJobs: number): void {
    const { tally } = this.#journal
    for (const job of jobs) {
      job.attempts += 1
      job.state = 'submitted'
      job.environment = environment
    }
    count(tally.submittedTo, environment, environmentJobs)
    count(tally.waitingIn, homeOf(jobs), jobs.length)
  }

  /** Jobs that an environment has had since an earlier life of the server. */
  adopted(jobs: readonly Job[], environment: number, environmentJobs: number): void {
    const { tally } = this.#journal
    for (const job of jobs) {
      job.state = 'submitted'
      job.environment = environment
    }
    count(tally.submittedTo, environment, environmentJobs)
    count(tally.waitingIn, homeOf(jobs), jobs.length)
  }

  /** An environment has not taken them: they wait again. */
  givenBack(jobs: readonly Job[], environment: number, environmentJobs: number): void {
    const { tally } = this.#journal
    count(tally.submittedTo, environment, -environmentJobs)
    count(tally.waitingIn, homeOf(jobs), -jobs.length)
    for (const job of jobs) job.state = 'ready'
  }

  /** The environment is being asked to take them. */
  submitted(jobs: readonly Job[]): void {
    for (const job of jobs) this.#journal.moved(job, 'submitted')
  }

  /** The environment job that stands for these has started. */
  running(jobs: readonly Job[], environment: number, environmentJobs: number): void {
    const { tally } = this.#journal
    this.#start(jobs)
    for (const job of jobs) this.#journal.moved(job, 'running')
    count(tally.submittedTo, environment, -environmentJobs)
    count(tally.waitingIn, homeOf(jobs), -jobs.length)
    count(tally.runningOn, environment, environmentJobs)
  }

  /** Jobs have started without being submitted anywhere, as function calls do. */
  began(jobs: readonly Job[], environment: number, environmentJobs: number): void {
    for (const job of jobs) {
      job.attempts += 1
      job.environment = environment
    }
    this.#start(jobs)
    count(this.#journal.tally.runningOn, environment, environmentJobs)
  }

  /** Jobs wait again. */
  putBack(job: Job): void {
    if (job.state === 'running') {
      const { tally } = this.#journal
      count(tally.running, job.activation.step, -1)
      count(tally.ready, job.activation.step, 1)
    }
    job.state = 'ready'
  }

  /** A job has failed, and waits for its next try. */
  retried(job: Job): void {
    this.putBack(job)
    // A group counts as one, whatever becomes of its jobs.
    if (job.capsule.groupSize === 1) count(this.#journal.tally.retriedOn, job.environment, 1)
  }

  /** A job has ended for good. */
  close(job: Job, state: 'completed' | 'failed'): void {
    const { tally } = this.#journal
    const { step } = job.activation
    this.putBack(job)
    count(tally.ready, step, -1)
    const totals = tally.totals.capsules[step]
    if (totals !== undefined) totals[state] += 1
    job.state = state
    job.endedAt = this.#now()
    this.#journal.moved(job, state)
  }

  #start(jobs: readonly Job[]): void {
    const { tally } = this.#journal
    const startedAt = this.#now()
    for (const job of jobs) {
      job.state = 'running'
      job.startedAt = startedAt
      count(tally.ready, job.activation.step, -1)
      count(tally.running, job.activation.step, 1)
    }
  }
}

/** The environment with which waiting jobs are counted. */
function homeOf(jobs: readonly Job[]): number {
  return jobs[0]?.capsule.environments[0] ?? 0
}
