import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobHandle, JobId } from '../environment/environment.ts'
import type { Attempt, AttemptEnding, AttemptSource } from '../job/attempt-source.ts'
import type { EnvironmentTracker } from '../job/tracker.ts'
import type { PlanCapsule } from '../workflow/plan.ts'
import { bundleSize } from './bundle-size.ts'
import { CallTimes } from './call-times.ts'
import { packCalls } from './call-jobs.ts'
import { packCommands } from './command-jobs.ts'
import { compareResults } from './compare-results.ts'
import { shareOf } from './fair-share.ts'
import { isHosted } from './hosted.ts'
import type { Printing } from './contract.ts'
import type { Job } from './job.ts'
import type { JobEnd, Package } from './package.ts'
import { askPrinted } from './printing.ts'
import { readEnds } from './read-ends.ts'
import type { Run } from './run.ts'
import { StoredAttempts, type StoredAttempt } from './stored-attempts.ts'

/** An environment that has jobs which outlive the server is waited for no longer than this when the execution ends. */
const endWaitMs = 60_000

/** One environment job: the attempt and the jobs it stands for. */
interface EnvironmentJob {
  readonly id: JobId
  readonly capsule: PlanCapsule
  readonly environment: number
  readonly jobs: readonly Job[]
  readonly package: Package
  readonly directory: string
  readonly attemptNumber: number
  submittedAt: number
  isRunning: boolean
}

/** A run's jobs on environments: makes attempts of them for each environment, and jobs' ends of theirs. */
export class EnvironmentJobs {
  readonly #run: Run
  readonly #live = new Map<JobId, EnvironmentJob>()
  readonly #callTimes: CallTimes
  readonly #stored: StoredAttempts
  /** Ends that are being written down. */
  readonly #endings = new Set<Promise<void>>()
  #attemptsOver: (() => void) | undefined

  constructor(run: Run) {
    this.#run = run
    this.#stored = new StoredAttempts(run.journal)
    this.#callTimes = new CallTimes(() => run.attemptEnded())
  }

  /** What an environment of the plan takes its work from. Downstream first: what is begun is finished before more is. */
  source(environment: number): AttemptSource {
    const isHere = isHosted(this.#run.resources.plan, environment)
    const steps = this.#run.graph.steps
      .flatMap((step, index) =>
        step.kind === 'capsule' &&
        step.environments.includes(environment) &&
        (step.task.kind === 'command' || !isHere)
          ? [index]
          : [],
      )
      .toReversed()
    const { precedence } = this.#run.resources
    return { precedence, take: (limit) => this.#take(steps, limit, environment) }
  }

  /**
   * Whether an attempt of an earlier life of the server stands for the job: then it is followed to its end as soon as
   * all jobs that it stands for are there.
   */
  goesOn(job: Job): boolean {
    const found = this.#stored.claim(job)
    if (found === undefined) return false
    if (found.isWhole) this.#adopt(found.attempt, found.jobs)
    return true
  }

  /** Why the environment of a job has not started it yet, in its own words. */
  waitsFor(job: Job): string | undefined {
    for (const { id, environment, jobs } of this.#live.values())
      if (jobs.includes(job)) return this.#tracker(environment)?.waitsFor(id)
    return undefined
  }

  /** How many jobs of a capsule have been given to an environment that says why it has not started them, for each reason. */
  waiting(capsule: PlanCapsule): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { id, environment, jobs, ...attempt } of this.#live.values()) {
      if (attempt.capsule !== capsule) continue
      const tracker = this.#tracker(environment)
      const waitsFor = tracker?.waitsFor(id)
      if (tracker === undefined || waitsFor === undefined) continue
      const reason = `on ${tracker.environment.name}: ${waitsFor}`
      counts.set(reason, (counts.get(reason) ?? 0) + jobs.length)
    }
    return counts
  }

  /** What attempts print that run: of a few that were made first, as far as their environments can tell now. */
  printing(): Promise<readonly Printing[]> {
    const running = [...this.#live.values()].filter(({ isRunning }) => isRunning)
    return askPrinted(running.map((attempt) => ({ ...attempt, tracker: this.#tracker(attempt.environment) })))
  }

  /** Ends every attempt under way. Resolves when they are over, or left to the environment to end. */
  async end(): Promise<void> {
    this.#callTimes.close()
    const { trackers } = this.#run.resources
    for (const { environment, handle } of this.#stored.unclaimed())
      if (handle !== undefined) await trackers[environment]?.endHandles([handle])
    if (this.#live.size === 0) return
    const over = Promise.withResolvers<void>()
    this.#attemptsOver = over.resolve
    for (const [index, tracker] of trackers.entries()) await tracker.cancel(this.#liveOn(index))
    const timer = setTimeout(() => void this.#giveUp().catch(over.reject), endWaitMs)
    await over.promise
    clearTimeout(timer)
  }

  #liveOn(environment: number): JobId[] {
    return [...this.#live.values()].flatMap((each) => (each.environment === environment ? [each.id] : []))
  }

  /** Leaves the ends of attempts to environments that do not answer; jobs of this computer end in any case. */
  async #giveUp(): Promise<void> {
    for (const [index, tracker] of this.#run.resources.trackers.entries()) {
      if (!tracker.environment.capabilities.survivesRestart) continue
      const ids = this.#liveOn(index)
      if (ids.length === 0) continue
      this.#run.resources.warn(
        `${tracker.environment.name} has not ended ${ids.length} jobs yet; they are ended as soon as it can be asked.`,
      )
      await tracker.abandon(ids)
      for (const id of ids) this.#live.delete(id)
    }
    if (this.#live.size === 0) this.#attemptsOver?.()
  }

  #take(steps: readonly number[], limit: number, environment: number): Attempt[] {
    const attempts: Attempt[] = []
    for (const step of steps) {
      const capsule = this.#run.capsuleAt(step)
      const slots = this.#tracker(environment)?.environment.capabilities.slots
      const waiting = this.#run.waiting(step)
      let share = shareOf({ capsule, environment, slots, waiting }, this.#live.values())
      while (attempts.length < limit && share > 0) {
        if (!isGrouped(capsule) && this.#callTimes.isEnough(capsule.task)) break
        const jobs = this.#run.takeJobs(step, this.#most(step, capsule, environment), capsule.groupSize)
        if (jobs.length === 0) break
        share -= jobs.length
        this.#run.moves.prepared(jobs, environment, countOf(capsule, jobs))
        const attemptNumber = Math.max(...jobs.map((job) => job.attempts))
        const id = `m${this.#run.resources.id.slice(0, 8)}-${jobs[0]?.id ?? 0}-${attemptNumber}` as JobId
        attempts.push(this.#makeAttempt(id, capsule, { jobs, environment, attemptNumber }))
      }
    }
    return attempts
  }

  /** How many jobs one environment job stands for: short functions go together without being asked. */
  #most(step: number, { task, groupSize, timeoutMs }: PlanCapsule, environment: number): number {
    const tracker = this.#tracker(environment)
    if (task.kind === 'command' || groupSize > 1 || tracker === undefined) return groupSize
    const { capabilities } = tracker.environment
    return bundleSize({
      waiting: this.#run.waiting(step),
      callMs: this.#callTimes.of(task),
      timeoutMs,
      capabilities,
    })
  }

  #adopt({ id, number, environment, handle, startedAt }: StoredAttempt, jobs: readonly Job[]): void {
    const tracker = this.#run.resources.trackers[environment]
    const capsule = jobs[0]?.capsule
    if (tracker === undefined || capsule === undefined) return
    this.#run.moves.adopted(jobs, environment, countOf(capsule, jobs))
    const attempt = this.#makeAttempt(id, capsule, { jobs, environment, attemptNumber: number })
    const environmentJob = this.#live.get(id)
    if (environmentJob !== undefined) environmentJob.submittedAt = startedAt
    tracker.adopt(attempt, handle)
  }

  #makeAttempt(
    id: JobId,
    capsule: PlanCapsule,
    of: Pick<EnvironmentJob, 'jobs' | 'environment' | 'attemptNumber'>,
  ): Attempt {
    const { paths, now } = this.#run.resources
    const directory = join(paths.attemptsDirectory, id)
    const environmentJob: EnvironmentJob = {
      ...of,
      id,
      capsule,
      directory,
      package: this.#pack(capsule, of.jobs, { id, attemptNumber: of.attemptNumber, directory }),
      submittedAt: now(),
      isRunning: false,
    }
    this.#live.set(id, environmentJob)
    if (capsule.task.kind === 'function') this.#callTimes.made(capsule.task)
    const { agree } = capsule
    return {
      request: { ...environmentJob.package.request, ...(agree !== undefined && { hasComparison: true }) },
      ...(agree !== undefined && { compare: this.#comparison(environmentJob, { ...capsule, agree }) }),
      directory,
      isMovable: capsule.environments.length > 1,
      submitting: async () => this.#submitting(environmentJob),
      moved: (state, handle) => this.#moved(environmentJob, state, handle),
      ended: async (ending) => this.#ended(environmentJob, ending),
    }
  }

  #comparison(
    { id, package: packed }: EnvironmentJob,
    capsule: PlanCapsule & { readonly agree: string },
  ): NonNullable<Attempt['compare']> {
    const { host, paths } = this.#run.resources
    const parts = { host, paths, capsule, package: packed, name: `${id}.compared` }
    return async (results, signal) => compareResults(parts, results, signal)
  }

  #pack(
    capsule: PlanCapsule,
    jobs: readonly Job[],
    options: { readonly id: JobId; readonly attemptNumber: number; readonly directory: string },
  ): Package {
    const { paths, runtime, plan } = this.#run.resources
    const { task } = capsule
    return task.kind === 'command'
      ? packCommands({ ...capsule, task }, jobs, paths, options)
      : packCalls({ ...capsule, task }, jobs, { paths, runtime: runtime(), script: plan.script }, options)
  }

  /** Where jobs outlive the server, the attempt is on the disk before the environment hears of it. */
  async #submitting(attempt: EnvironmentJob): Promise<void> {
    this.#run.moves.submitted(attempt.jobs)
    if (!this.#outlivesServer(attempt)) return
    this.#run.keep(attempt.jobs)
    this.#write(attempt, 'submitting', undefined, null)
    await this.#run.journal.flushed()
  }

  #moved(attempt: EnvironmentJob, state: string, handle: JobHandle | undefined): void {
    if (this.#outlivesServer(attempt)) this.#write(attempt, state, handle, null)
    if (state !== 'running' || attempt.isRunning) return
    attempt.isRunning = true
    if (attempt.capsule.task.kind === 'function') this.#callTimes.running(attempt.capsule.task)
    this.#run.moves.running(attempt.jobs, attempt.environment, countOf(attempt.capsule, attempt.jobs))
    // Others may wait there in its stead.
    if (attempt.capsule.environments.length > 1) this.#run.wake()
  }

  /** Resolves when every end that has come is written down or left to the next life of the server. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#endings)
  }

  async #ended(attempt: EnvironmentJob, ending: AttemptEnding): Promise<boolean> {
    if (!this.#live.has(attempt.id)) return true
    // The run takes nothing more, and what outlives the server tells its end again.
    if (this.#run.isSuspended && this.#outlivesServer(attempt)) return false
    const taking = this.#takeEnd(attempt, ending)
    this.#endings.add(taking)
    try {
      await taking
    } finally {
      this.#endings.delete(taking)
    }
    return true
  }

  async #takeEnd(attempt: EnvironmentJob, ending: AttemptEnding): Promise<void> {
    if (ending.kind === 'given-back') this.#giveBack(attempt, ending.message)
    else await this.#close(attempt, ending)
    this.#live.delete(attempt.id)
    try {
      await rm(attempt.directory, { recursive: true, force: true })
      await attempt.package.dispose?.()
      await this.#run.journal.flushed()
    } finally {
      if (this.#live.size === 0) this.#attemptsOver?.()
      this.#run.attemptEnded()
    }
  }

  /** Nothing has started: the jobs wait again, for whichever environment has room. */
  #giveBack(attempt: EnvironmentJob, reason: string): void {
    this.#run.moves.givenBack(attempt.jobs, attempt.environment, countOf(attempt.capsule, attempt.jobs))
    this.#write(attempt, 'given-back', undefined, reason)
    if (attempt.capsule.task.kind === 'function') this.#callTimes.note(attempt.capsule.task, undefined)
    this.#run.requeue(attempt.jobs)
  }

  /** All that follows from the end of an attempt is in one transaction. */
  async #close(attempt: EnvironmentJob, ending: AttemptEnding): Promise<void> {
    if (!attempt.isRunning) this.#moved(attempt, 'running', undefined)
    const { capsule, environment } = attempt
    const ends = await readEnds(attempt, ending, this.#run.resources)
    const completed = ends.flatMap(({ job, result }) =>
      result.kind === 'outputs' ? [{ job, outputs: result.outputs }] : [],
    )
    const texts = await this.#run.displayTexts(capsule, completed)
    const isFailed = completed.length < ends.length
    for (const { job, exitCode } of ends) job.exitCode = exitCode
    const untried = ends.filter(({ isUntried }) => isUntried === true).length
    this.#run.left(
      environment,
      countOf(capsule, attempt.jobs),
      isGrouped(capsule)
        ? { done: isFailed ? 0 : 1, failed: isFailed ? 1 : 0 }
        : { done: completed.length, failed: ends.length - completed.length - untried },
    )
    this.#write(attempt, isFailed ? 'failed' : 'completed', undefined, describeEnding(ending))
    if (capsule.task.kind === 'function') this.#callTimes.note(capsule.task, attempt.package.callMs?.())
    this.#run.ends.complete(completed, texts)
    for (const end of ends) this.#endBadly(end, ending.kind === 'rejected')
  }

  #endBadly(end: JobEnd, isFinal: boolean): void {
    const { job, result, exitCode, isEnvironmentsFault, isCancelled, isUntried } = end
    if (result.kind === 'outputs') return
    if (isUntried === true && !this.#run.isStopping) this.#run.ends.takeBack(job)
    else if (isCancelled && this.#run.isStopping) this.#run.ends.abandon(job)
    else this.#run.ends.fail([{ job, failure: { ...result, exitCode, isEnvironmentsFault, isFinal } }])
  }

  #outlivesServer({ environment }: EnvironmentJob): boolean {
    return this.#tracker(environment)?.environment.capabilities.survivesRestart === true
  }

  #tracker(environment: number): EnvironmentTracker | undefined {
    return this.#run.resources.trackers[environment]
  }

  #write(attempt: EnvironmentJob, state: string, handle: JobHandle | undefined, ending: string | null): void {
    this.#run.journal.record([
      [
        'putAttempt',
        attempt.id,
        JSON.stringify(attempt.jobs.map(({ id }) => id)),
        attempt.attemptNumber,
        attempt.environment,
        state,
        handle === undefined ? null : JSON.stringify(handle),
        attempt.submittedAt,
        ending === null ? null : this.#run.resources.now(),
        ending,
      ],
    ])
  }
}

/** Without `.by(n)`, that jobs go together is our own doing: each counts as an environment job. */
function isGrouped({ groupSize }: PlanCapsule): boolean {
  return groupSize > 1
}

function countOf(capsule: PlanCapsule, jobs: readonly Job[]): number {
  return isGrouped(capsule) ? 1 : jobs.length
}

function describeEnding(ending: AttemptEnding): string {
  switch (ending.kind) {
    case 'exited':
      return `exit code ${ending.exitCode}`
    case 'stopped':
      return `${ending.cause}: ${ending.message}`
    case 'lost':
    case 'rejected':
    case 'given-back':
      return `${ending.kind}: ${ending.message}`
  }
}
