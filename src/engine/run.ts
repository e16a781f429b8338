import type { AttemptSource } from '../job/attempt-source.ts'
import { BackgroundWork } from '../job/background-work.ts'
import { FunctionBatches } from '../job/function-batches.ts'
import type { Write } from '../store/journal-schema.ts'
import { decodeJson, type Context } from '../workflow/context.ts'
import type { PlanCapsule } from '../workflow/plan.ts'
import { EnvironmentJobs } from './environment-jobs.ts'
import { Explorations } from './explorations.ts'
import { FaultLog } from './fault-log.ts'
import { FunctionCapsules } from './function-capsules.ts'
import { makeGraph, type Graph } from './graph.ts'
import { displayTexts, type DisplayTexts } from './hooks/display-texts.ts'
import { HookWriter } from './hooks/hook-writer.ts'
import { JobMoves } from './job-moves.ts'
import { JobEnds, type Completion } from './job-ends.ts'
import { writeJob, type Job } from './job.ts'
import { next } from './next.ts'
import { ReadyJobs } from './ready-jobs.ts'
import { RunJournal } from './run-journal.ts'
import type { Printing } from './contract.ts'
import type { RunEnding, RunResources } from './run-resources.ts'
import {
  initialState,
  type Activation,
  type Effect,
  type Exploration,
  type RunEvent,
  type RunState,
} from './state.ts'
import { count, type Tally } from './tally.ts'

/** More changes than this never wait for the disk: nothing new starts until it has caught up. */
const mostUncommitted = 20_000
const printingFreshMs = 1000

/**
 * One execution under way: takes events to `next`, and does what it says. What must outlive the server goes through
 * its journal, and what belongs together goes in one transaction.
 */
export class Run {
  readonly resources: RunResources
  readonly graph: Graph
  readonly journal: RunJournal
  readonly faults: FaultLog
  readonly ended: Promise<RunEnding>
  readonly moves: JobMoves
  readonly ends: JobEnds
  readonly #state: RunState
  readonly #ready: ReadyJobs
  readonly #live = new Set<Job>()
  readonly #hooks: HookWriter
  readonly #functions: FunctionBatches
  readonly #environmentJobs: EnvironmentJobs
  readonly #sources: readonly AttemptSource[]
  readonly #explorations: Explorations
  readonly #background = new BackgroundWork((error) => {
    const { message, stack = '' } = error instanceof Error ? error : new Error(String(error))
    this.resources.warn(message)
    this.stop({ kind: 'failed', message, stack })
  })
  readonly #resolveEnded: (ending: RunEnding) => void
  #ending: RunEnding | undefined
  #hookFailure: RunEnding | undefined
  #isOver = false
  #printing: { readonly atMs: number; readonly texts: Promise<readonly Printing[]> } | undefined

  constructor(resources: RunResources) {
    this.resources = resources
    const { plan, journal, paths, host, hookOutput, now } = resources
    this.graph = makeGraph(plan)
    this.#state = initialState(this.graph)
    this.#ready = new ReadyJobs(this.#state, this.#live, (exploration) =>
      this.#advance({ kind: 'wanted', exploration }),
    )
    this.#hooks = new HookWriter(journal, {
      paths,
      display: hookOutput,
      failed: ({ message }) => {
        this.#hookFailure ??= { kind: 'failed', message, stack: '' }
        this.stop(this.#hookFailure)
      },
    })
    const environments = plan.environments.length
    this.journal = new RunJournal(journal, {
      graph: this.graph,
      environments,
      now,
      endTransaction: () => {
        const { lastNoted } = this.#hooks
        return () => {
          this.#hooks.committed(lastNoted)
          this.#wake()
        }
      },
    })
    this.moves = new JobMoves(this.journal, now)
    journal.onFailure(({ message }) => this.stop({ kind: 'failed', message, stack: '' }))
    this.faults = new FaultLog(environments, journal)
    this.ends = new JobEnds(this, {
      live: this.#live,
      ready: this.#ready,
      note: (effects) => this.#hooks.note(effects),
      advance: (event) => this.#advance(event),
      hasFailed: () => this.#state.outcome === 'failed',
      isOver: () => this.#isOver,
    })
    this.#functions = new FunctionBatches(host, new FunctionCapsules(this), () => performance.now())
    this.#environmentJobs = new EnvironmentJobs(this)
    this.#sources = plan.environments.map((_, index) => this.#environmentJobs.source(index))
    this.#explorations = new Explorations(this)
    const { promise, resolve } = Promise.withResolvers<RunEnding>()
    this.ended = promise
    this.#resolveEnded = resolve
  }

  get tally(): Tally {
    return this.journal.tally
  }

  get isStopping(): boolean {
    return this.#ending !== undefined
  }

  /** Whether it goes on in the next life of the server. */
  get isSuspended(): boolean {
    return this.#ending?.kind === 'suspended'
  }

  /** Jobs that have been made and have not ended, by id. */
  get live(): readonly Job[] {
    return [...this.#live].sort((a, b) => a.id - b.id)
  }

  /** Explorations whose samples are not all settled, oldest first. */
  get openExplorations(): readonly Exploration[] {
    return [...this.#state.explorations]
  }

  /** Whether so much waits to be written that nothing new starts. */
  get isDiskBehind(): boolean {
    return this.journal.database.backlog > mostUncommitted
  }

  /** Whether the jobs of a capsule wait for others to fill their group. */
  isGroupOpen(step: number): boolean {
    return this.#ready.isGroupOpen(step, this.capsuleAt(step).groupSize)
  }

  /** Begins, or goes on where the journal says. */
  start(): void {
    for (const [index, tracker] of this.resources.trackers.entries()) {
      const source = this.#sources[index]
      if (source !== undefined) tracker.add(source)
    }
    this.apply({ kind: 'started' })
  }

  /** Ends the run; the first reason counts. Jobs under way are ended, unless they can go on without us. */
  stop(reason: RunEnding): void {
    if (this.#ending !== undefined) return
    this.#ending = reason
    this.#end(reason)
  }

  /** Takes an event into the state and does what follows. `writes` go into the same transaction. */
  apply(event: RunEvent, writes: readonly Write[] = []): void {
    this.journal.record(writes)
    this.#advance(event)
    this.#wake()
  }

  capsuleAt(step: number): PlanCapsule {
    const capsule = this.graph.steps[step]
    if (capsule?.kind !== 'capsule') throw new Error(`Step ${step} is no capsule.`)
    return capsule
  }

  /** Jobs of a capsule that could start now, those included that the next samples would bring. */
  waiting(step: number): number {
    if (this.isStopping || this.isDiskBehind) return 0
    const waiting = this.#ready.waiting(step)
    return this.resources.allowance?.grant(waiting) ?? waiting
  }

  /** Jobs that run, or that an environment has been given. */
  get busy(): number {
    const { running, waitingIn } = this.tally
    return sum(running) + sum(waitingIn)
  }

  /** Whether jobs of it could start if its owner might have more of them running. */
  isShort(step: number): boolean {
    return this.#ready.waiting(step) > 0 && this.resources.allowance?.grant(1) === 0
  }

  /**
   * Takes jobs that are to start now, making them of samples where there are none. With a group size, the last jobs
   * are given only when the group is full or no more can come.
   */
  takeJobs(step: number, limit: number, groupSize: number): readonly Job[] {
    if (this.isStopping || this.isDiskBehind) return []
    const { allowance } = this.resources
    if (allowance === undefined) return this.#ready.take(step, limit, groupSize)
    // A smaller group runs at once; a full one might never be granted.
    const granted = allowance.grant(Math.min(limit, this.#ready.waiting(step)))
    return granted === 0 ? [] : this.#ready.take(step, granted, Math.min(groupSize, granted))
  }

  /** What jobs print that run. Environments are asked once a second at most, however many look. */
  printing(): Promise<readonly Printing[]> {
    const now = this.resources.now()
    if (this.#printing === undefined || now - this.#printing.atMs >= printingFreshMs)
      this.#printing = { atMs: now, texts: this.#environmentJobs.printing() }
    return this.#printing.texts
  }

  /** Why jobs of a capsule that environments have been given have not started yet: how many of them for each reason. */
  waitingElsewhere(step: number): ReadonlyMap<string, number> {
    return this.#environmentJobs.waiting(this.capsuleAt(step))
  }

  /** Why the environment of a job has not started it yet, in its own words. */
  waitsFor(job: Job): string | undefined {
    return this.#environmentJobs.waitsFor(job)
  }

  /** Notes that an environment has so many jobs less, and what they came to. */
  left(
    environment: number,
    environmentJobs: number,
    { done, failed }: { readonly done: number; readonly failed: number },
  ): void {
    count(this.tally.runningOn, environment, -environmentJobs)
    const totals = this.tally.totals.environments[environment]
    if (totals === undefined || this.#isOver) return
    totals.failed += failed
    totals.done += done
    const name = this.resources.plan.environments[environment]?.name ?? ''
    if (failed > 0) this.resources.jobsEnded(name, 'failed', failed)
    if (done > 0) this.resources.jobsEnded(name, 'done', done)
  }

  /** What functions of the script make of completed jobs for display hooks. */
  async displayTexts(capsule: PlanCapsule, completions: readonly Completion[]): Promise<DisplayTexts> {
    return displayTexts(this.resources, capsule, completions)
  }

  /** Notes jobs as they are, so that the next life of the server finds what stands for them. */
  keep(jobs: readonly Job[]): void {
    this.journal.record(jobs.map((job) => writeJob(job, undefined)))
  }

  /** Lets jobs wait again that nothing has begun to run. */
  requeue(jobs: readonly Job[]): void {
    for (const job of jobs) if (this.#live.has(job)) this.#ready.queue(job)
    this.keep(jobs)
  }

  /** Jobs of a capsule that wait, those included that explorations have yet to make. */
  readyOf(step: number): number {
    return (this.tally.ready[step] ?? 0) + this.#ready.samplesAhead(step)
  }

  /** Says that an attempt on an environment is over, with all that follows from it. */
  attemptEnded(): void {
    this.#wake()
  }

  /** Starts what there is room for. */
  wake(): void {
    this.#wake()
  }

  #wake(): void {
    if (this.isStopping || this.#isOver) return
    this.#functions.wake()
    for (const tracker of this.resources.trackers) tracker.wake()
    this.resources.allowance?.changed()
  }

  #advance(event: RunEvent): void {
    for (const effect of next(this.#state, event)) this.#carryOut(effect)
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'activate':
        this.#activate(effect.activation)
        return
      case 'open':
        this.#background.own(this.#explorations.open(effect.exploration))
        return
      case 'settle':
        this.journal.record([this.#explorations.settle(effect)])
        return
      case 'gather':
        this.#background.own(this.#explorations.gather(effect.aggregation, effect.exploration))
        return
      case 'end':
        // A failure is told by the job that caused it.
        if (effect.outcome === 'completed') this.stop({ kind: 'finished' })
    }
  }

  #activate(activation: Activation): void {
    const { step, frame } = activation
    const found = this.journal.isResumed ? this.journal.find(step, frame.ticket) : undefined
    if (found?.state === 'completed') {
      // Done in an earlier life: its results are taken as they are, and its hooks have been seen to.
      const outputs = found.output === null ? {} : (decodeJson(found.output) as Context)
      queueMicrotask(() => this.apply({ kind: 'completed', activation, outputs }))
      return
    }
    if (found?.state === 'failed') {
      queueMicrotask(() => this.apply({ kind: 'failed', activation }))
      return
    }
    const job: Job = {
      id: found?.id ?? this.journal.nextJobId(),
      activation,
      capsule: this.capsuleAt(step),
      environment: this.capsuleAt(step).environments[0] ?? 0,
      state: 'ready',
      attempts: found?.attempts ?? 0,
      exitCode: null,
      readyAt: this.resources.now(),
      startedAt: null,
      endedAt: null,
      error: null,
    }
    this.#live.add(job)
    count(this.tally.ready, step, 1)
    if (!this.#environmentJobs.goesOn(job)) this.#ready.queue(job)
  }

  #end(ending: RunEnding): void {
    const finish = async (): Promise<void> => {
      this.ends.stopRetries()
      for (const [index, tracker] of this.resources.trackers.entries()) {
        const source = this.#sources[index]
        if (source !== undefined) tracker.remove(source)
      }
      await this.#functions.stop()
      if (ending.kind === 'suspended') await this.#environmentJobs.settled()
      else await this.#environmentJobs.end()
      await this.#background.settled()
      this.#isOver = true
      if (ending.kind !== 'suspended')
        for (const job of this.live) if (job.state !== 'ready') this.ends.abandon(job)
      await this.journal.flushed()
      await this.#hooks.idle()
      await this.journal.flushed()
    }
    const finishing = finish().catch((error: unknown) => {
      this.resources.warn(`The execution's end cannot be kept: ${String(error)}`)
    })
    // The last hooks may fail when all jobs are done.
    const decided = (): RunEnding => (ending.kind === 'finished' ? (this.#hookFailure ?? ending) : ending)
    void finishing.then(() => this.#resolveEnded(decided()))
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((all, each) => all + each, 0)
}
