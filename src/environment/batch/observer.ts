import { EnvironmentError, type JobId, type Observation } from '../environment.ts'
import type { BatchEnvironmentOptions, BatchSurroundings } from './batch-environment.ts'
import type { FollowedJob } from './handle.ts'
import { asked, listedJobs, nativeIdsOf } from './listed-jobs.ts'
import { batchPath } from './plan-batches.ts'
import { SchedulerOutputError, type Listing } from './scheduler.ts'
import { judge } from './verdict.ts'

/** Looks at many jobs at once: one list, one look at their files, and the accounting where these do not suffice. */
export class Observer {
  readonly #surroundings: BatchSurroundings
  readonly #options: BatchEnvironmentOptions
  /** What was wrong with the accounting when it was last asked. */
  #accountingFault: string | undefined

  constructor(surroundings: BatchSurroundings, options: BatchEnvironmentOptions) {
    this.#surroundings = surroundings
    this.#options = options
  }

  /** An observation for every job. Throws EnvironmentError when the scheduler or the host cannot be asked. */
  async observe(jobs: readonly FollowedJob[], signal: AbortSignal): Promise<ReadonlyMap<JobId, Observation>> {
    const { files, queue, now } = this.#surroundings
    const observations = new Map<JobId, Observation>()
    // First the list, then the files: a job that is not listed any more has written its exit file before.
    const listed = await listedJobs(queue, signal)
    const hasCopies = (job: FollowedJob) => listed.nativeIdsOf(job).length > 1
    const waiting = new Map<FollowedJob, Observation>()
    for (const job of jobs) {
      const listing = listed.listingOf(job)
      // A copy that waits says nothing of one that has run.
      if (listing?.kind === 'queued' && job.isProven && !hasCopies(job)) waiting.set(job, listing)
    }
    const looked = jobs.filter((job) => !waiting.has(job))
    const marks = await files.look(
      looked.map(({ place }) => place),
      signal,
    )
    const unexplained = looked.filter((job) => {
      const mark = marks.get(job.place.id)
      if (mark === undefined || mark.kind === 'absent' || listed.listingOf(job) !== undefined) return false
      return mark.kind !== 'ended' || needsCause(mark)
    })
    const accounted = await this.#account(unexplained, signal)
    const stuck: FollowedJob[] = []
    const silent: FollowedJob[] = []
    const at = now()
    for (const [job, listing] of waiting) {
      job.missingSince = undefined
      job.isListed = true
      observations.set(job.place.id, listing)
    }
    for (const job of looked) {
      const verdict = judge({
        mark: marks.get(job.place.id) ?? { kind: 'absent' },
        listing: listed.listingOf(job),
        accounted: accounted.get(job.nativeId),
        mayBeAccounted: queue.hasAccounting && job.nativeId !== '',
        missingMs: job.missingSince === undefined ? 0 : at - job.missingSince,
        limits: this.#options,
      })
      job.isProven = marks.get(job.place.id)?.kind !== 'absent'
      job.missingSince = verdict.isMissing ? (job.missingSince ?? at) : undefined
      const { kind } = verdict.observation
      job.isListed = listed.listingOf(job) !== undefined
      job.hasEnded = kind === 'exited' || kind === 'stopped'
      if (verdict.isStuck === true) stuck.push(job)
      if (verdict.isSilent === true) silent.push(job)
      observations.set(job.place.id, verdict.observation)
    }
    const needless = looked.flatMap((job) =>
      job.hasEnded && hasCopies(job) ? listed.nativeIdsOf(job, ['queued']) : [],
    )
    const unwanted = new Set([...nativeIdsOf(stuck, listed), ...needless])
    if (unwanted.size > 0) await asked(queue.cancel([...unwanted], signal))
    for (const [id, observation] of await this.#withLastWords(silent, observations, signal))
      observations.set(id, observation)
    return observations
  }

  /** What the scheduler wrote into the log of a batch is at times all that says why its jobs ended. */
  async #withLastWords(
    jobs: readonly FollowedJob[],
    observations: ReadonlyMap<JobId, Observation>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    const logOf = ({ place, batch }: FollowedJob) => `${batchPath({ key: place.key, name: batch })}/log`
    const texts = await this.#surroundings.files.read([...new Set(jobs.map(logOf))], signal)
    const told = new Map<JobId, Observation>()
    for (const job of jobs) {
      const observation = observations.get(job.place.id)
      const words = lastWords(texts.get(logOf(job)) ?? '')
      if (observation?.kind !== 'stopped' || words === '') continue
      const message = `${observation.message} The scheduler's log of its batch ends so: ${words}`
      told.set(job.place.id, { ...observation, message })
    }
    return told
  }

  /** An accounting that is broken has no word, and holds up nobody whose list and files can be asked. */
  async #account(jobs: readonly FollowedJob[], signal: AbortSignal): Promise<ReadonlyMap<string, Listing>> {
    const { queue, warn } = this.#surroundings
    const numbered = jobs.filter(({ nativeId }) => nativeId !== '')
    if (!queue.hasAccounting || numbered.length === 0) return new Map()
    try {
      const listings = await queue.account(numbered, signal)
      this.#accountingFault = undefined
      return listings
    } catch (error) {
      signal.throwIfAborted()
      // Also one that is silent for too long: the host has just answered.
      if (!(error instanceof SchedulerOutputError || error instanceof EnvironmentError)) throw error
      if (this.#accountingFault !== error.message)
        warn(`${queue.name}: the accounting gives no answer: ${error.message}`)
      this.#accountingFault = error.message
      return new Map()
    }
  }
}

/** Whether the scheduler is asked why it ended so. */
function needsCause(mark: { readonly end: { readonly kind: string; readonly exitCode?: number } }): boolean {
  const { kind, exitCode } = mark.end
  return kind === 'signalled' || exitCode === 137 || exitCode === 143
}

/** The last two lines that say different things, on one line of at most 500 characters. */
function lastWords(log: string): string {
  const lines = log.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]))
  return [...new Set(lines.slice(-50).toReversed())].slice(0, 2).toReversed().join(' ').slice(0, 500)
}
