import { setTimeout as delay } from 'node:timers/promises'
import type { Environment, JobHandle, JobId, Observation } from '../environment/environment.ts'
import { gather } from '../environment/gather.ts'
import type { Attempt, AttemptEnding, AttemptSource } from './attempt-source.ts'
import { BackgroundWork } from './background-work.ts'
import { bringResults } from './bring-results.ts'
import { Chores, type ChoreStore } from './chores.ts'
import { Outage } from './outage.ts'
import { cancelledBeforeStart, Submitter } from './submitter.ts'
import { moveAttempt, TrackedAttempts, type Tracked } from './tracked-attempts.ts'
import { messageOf } from '../problem.ts'

export interface TrackerOptions {
  readonly now: () => number
  readonly warn: (message: string) => void
  readonly chores: ChoreStore
  readonly lostGraceMs?: number
}

/** Many results that cannot be fetched ask one question together. */
const asking = { delayMs: 20, mostAtOnce: 100_000, mostRunning: 1 }
/** How long adopted attempts wait for others before they are looked for. */
const adoptionMs = 50

/**
 * Keeps one environment busy. Takes attempts from executions in turn whenever there is room, submits them in
 * batches, follows each to its end, and never starts anything else. One per environment of the server.
 */
export class EnvironmentTracker {
  readonly environment: Environment
  readonly #tracked = new TrackedAttempts()
  readonly #stop = new AbortController()
  readonly #now: () => number
  readonly #warn: (message: string) => void
  readonly #lostGraceMs: number
  readonly #outage: Outage
  readonly #background: BackgroundWork
  readonly #submitter: Submitter
  readonly #chores: Chores
  readonly #isAnswering: (handle: JobHandle) => Promise<boolean>
  /** Adopted ones of which nobody knows whether they were taken. */
  readonly #unsure: Tracked[] = []
  #answeredAt: number | undefined

  constructor(environment: Environment, options: TrackerOptions) {
    this.environment = environment
    const { signal } = this.#stop
    const warn = (message: string): void => options.warn(`${environment.name}: ${message}`)
    this.#now = options.now
    this.#warn = warn
    this.#outage = new Outage(options.now, warn)
    this.#background = new BackgroundWork((error) => {
      if (!signal.aborted) warn(messageOf(error))
    })
    this.#submitter = new Submitter(environment, {
      tracked: this.#tracked,
      outage: this.#outage,
      background: this.#background,
      signal,
      warn,
      accepted: async (tracked, handle) => this.#accept(tracked, handle),
      ended: async (tracked, ending) => this.#end(tracked, ending),
    })
    this.#chores = new Chores(environment, { store: options.chores, signal, warn })
    this.#isAnswering = gather(
      async () =>
        environment.check(signal).then(
          () => true,
          () => false,
        ),
      asking,
    )
    this.#lostGraceMs = options.lostGraceMs ?? (environment.capabilities.sharedFileSystem ? 0 : 270_000)
    environment.watch?.((ids) => this.#background.own(this.#observe(ids)), signal)
    environment.compareWith?.(
      async (id, results, asking) =>
        (await this.#tracked.get(id)?.attempt.compare?.(results, asking)) ?? { kind: 'not-yet' },
      signal,
    )
    this.#background.own(this.#poll())
  }

  add(source: AttemptSource): void {
    this.#submitter.sources.add(source)
  }

  remove(source: AttemptSource): void {
    this.#submitter.sources.remove(source)
  }

  /** How much is going on here, and why nothing more is taken if that is so. */
  get activity(): { active: number; limit: number; pausedBecause: string | undefined } {
    const pausedBecause = this.#submitter.pausedBecause ?? this.#outage.reason
    return { active: this.#tracked.size, limit: this.environment.capabilities.maxActiveJobs, pausedBecause }
  }

  /** When the environment has last told of jobs. */
  get answeredAt(): number | undefined {
    return this.#answeredAt
  }

  /** Why the environment has not started an attempt yet, in its own words; undefined where it says nothing. */
  waitsFor(id: JobId): string | undefined {
    return this.#tracked.get(id)?.waitsFor
  }

  /**
   * The end of what an attempt that runs has printed so far; undefined where its environment cannot tell, or gives no answers. Throws
   * EnvironmentError.
   */
  async readPrinted(id: JobId, limitBytes: number, signal: AbortSignal): Promise<string | undefined> {
    const { state, handle } = this.#tracked.get(id) ?? {}
    if (handle === undefined || state !== 'running' || this.#outage.reason !== undefined) return undefined
    const either = AbortSignal.any([signal, this.#stop.signal])
    return this.environment.readPrinted?.(handle, limitBytes, either)
  }

  /** Says that a source may have work. */
  wake(): void {
    this.#submitter.wake()
  }

  /**
   * Follows an attempt that an earlier life of the server has made. Without a handle nobody knows whether it was ever
   * taken: then it is looked for, and submitted when it is not there.
   */
  adopt(attempt: Attempt, handle: JobHandle | undefined): void {
    const tracked = this.#tracked.add(attempt, handle === undefined ? 'submitting' : 'queued', handle)
    if (handle !== undefined) return
    this.#unsure.push(tracked)
    if (this.#unsure.length === 1) this.#background.own(this.#searchUnsure())
  }

  /** Asks for attempts to stop. Their end is told as any other; where no answer comes now, they are asked again later. */
  async cancel(ids: readonly JobId[]): Promise<void> {
    for (const id of ids) {
      const tracked = this.#tracked.get(id)
      if (tracked === undefined) continue
      tracked.isCancelWanted = true
      if (this.#submitter.drop(tracked)) await this.#end(tracked, cancelledBeforeStart)
    }
    await this.#deliverCancels().catch((error: unknown) => this.#outage.note(error))
  }

  /** Ends attempts without waiting for their end, and without telling anybody of it: as soon as the environment answers. */
  async abandon(ids: readonly JobId[]): Promise<void> {
    const handles = ids.flatMap((id) => {
      const tracked = this.#tracked.get(id)
      this.#tracked.remove(id)
      if (tracked !== undefined) this.#submitter.drop(tracked)
      return tracked?.handle ?? []
    })
    await this.endHandles(handles)
    this.wake()
  }

  /** Ends jobs that no attempt stands for any more, now or as soon as the environment answers. */
  async endHandles(handles: readonly JobHandle[]): Promise<void> {
    if (handles.length > 0) await this.#chores.add({ kind: 'end', handles })
  }

  /** Deletes what was put on the environment for an execution, now or as soon as it answers. */
  async discard(workDirectory: string): Promise<void> {
    if (this.environment.discard !== undefined) await this.#chores.add({ kind: 'discard', workDirectory })
  }

  /** Lets go of the environment. What runs there goes on where it survives a restart. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#chores.closed()
    await this.environment.close()
    await this.#background.settled()
  }

  /** Together: a server that went down while it submitted has many, and each question costs the environment a search. */
  async #searchUnsure(): Promise<void> {
    await delay(adoptionMs, undefined, { signal: this.#stop.signal, ref: false })
    await this.#submitter.search(this.#unsure.splice(0))
  }

  async #accept(tracked: Tracked, handle: JobHandle): Promise<void> {
    // Abandoned while it was on its way, or looked for: nobody would ever end it.
    if (this.#tracked.get(tracked.attempt.request.id) !== tracked) return this.endHandles([handle])
    tracked.handle = handle
    moveAttempt(tracked, { kind: 'accepted' })
    if (tracked.isCancelWanted) await this.#deliverCancels()
  }

  async #deliverCancels(): Promise<void> {
    const undelivered = [...this.#tracked.all].filter(
      ({ isCancelWanted, isCancelDelivered }) => isCancelWanted && !isCancelDelivered,
    )
    const handles = undelivered.flatMap(({ handle }) => handle ?? [])
    if (handles.length === 0) return
    await this.environment.cancel(handles, this.#stop.signal)
    for (const tracked of undelivered) if (tracked.handle !== undefined) tracked.isCancelDelivered = true
  }

  async #poll(): Promise<void> {
    const { minMs, maxMs, stepMs } = this.environment.capabilities.pollInterval
    let waitMs = minMs
    for (;;) {
      await delay(waitMs, undefined, { signal: this.#stop.signal, ref: false })
      try {
        // Where nothing is to be observed, nobody would notice that it still gives no answer.
        if (this.#outage.reason !== undefined && !this.#hasHandles())
          await this.environment.check(this.#stop.signal)
        await this.#deliverCancels()
        const hasChanged = await this.#observe(this.#tracked.ids)
        if (this.#outage.end()) this.wake()
        waitMs = hasChanged ? minMs : Math.min(maxMs, waitMs + stepMs)
      } catch (error) {
        if (this.#stop.signal.aborted) return
        // No answer is no news: every job stays as it was.
        this.#outage.note(error)
        await this.#giveUpAfterOutage()
        waitMs = Math.min(maxMs, waitMs * 2)
      }
    }
  }

  #hasHandles(): boolean {
    for (const { handle } of this.#tracked.all) if (handle !== undefined) return true
    return false
  }

  /** By its own word, an environment that was away for so long has lost its jobs. Should it come back, they are ended. */
  async #giveUpAfterOutage(): Promise<void> {
    const { lostAfterOutageMs } = this.environment.capabilities
    if (lostAfterOutageMs === undefined || this.#outage.forMs < lostAfterOutageMs) return
    const message = `${this.environment.name} has not answered for ${Math.round(lostAfterOutageMs / 1000)} s: ${this.#outage.reason ?? ''}`
    for (const { attempt, state, handle } of this.#tracked.all) {
      // Without a handle it waits for its turn, or may have been taken: then it is looked for, and ended when it is found.
      if (handle === undefined ? state !== 'submitting' : state === 'collecting') continue
      this.#tracked.remove(attempt.request.id)
      // Not taken, it is adopted by the next life of the server.
      const isTaken = await attempt.ended({ kind: 'lost', message })
      if (isTaken && handle !== undefined) await this.endHandles([handle])
    }
  }

  async #observe(ids: readonly JobId[]): Promise<boolean> {
    const asked = ids.flatMap((id) => {
      const handle = this.#tracked.get(id)?.handle
      return handle === undefined ? [] : [handle]
    })
    if (asked.length === 0) return false
    const observations = await this.environment.observe(asked, this.#stop.signal)
    this.#answeredAt = this.#now()
    let hasChanged = false
    for (const [id, observation] of observations) {
      const tracked = this.#tracked.get(id)
      if (tracked === undefined || !this.#isBelieved(tracked, observation)) continue
      tracked.waitsFor = observation.kind === 'queued' ? observation.reason : undefined
      if (!moveAttempt(tracked, { kind: 'observed', observation })) continue
      hasChanged = true
      // Fetching may take long, and others must be asked about meanwhile.
      if (observation.kind === 'lost') this.#background.own(this.#end(tracked, observation))
      else if (observation.kind === 'exited' || observation.kind === 'stopped')
        this.#background.own(this.#collect(tracked, observation))
    }
    return hasChanged
  }

  #isBelieved(tracked: Tracked, observation: Observation): boolean {
    if (observation.kind === 'unclear' && observation.message !== tracked.unclear)
      this.#warn(observation.message)
    tracked.unclear = observation.kind === 'unclear' ? observation.message : undefined
    if (observation.kind !== 'lost') {
      tracked.lostSince = undefined
      return true
    }
    tracked.lostSince ??= this.#now()
    return this.#now() - tracked.lostSince >= this.#lostGraceMs
  }

  async #collect(tracked: Tracked, observation: Observation & { kind: 'exited' | 'stopped' }): Promise<void> {
    const { handle, attempt } = tracked
    if (handle === undefined) return
    const collected = await bringResults(this.environment, handle, attempt.directory, {
      signal: this.#stop.signal,
      isWanted: () => this.#tracked.has(tracked),
      isAnswering: async () => this.#isAnswering(handle),
      warn: this.#warn,
    })
    if (this.#stop.signal.aborted) return
    if (observation.kind === 'stopped') await this.#end(tracked, { ...observation, collected })
    else if (collected === undefined || collected.lost !== undefined)
      await this.#end(tracked, {
        kind: 'lost',
        message: collected?.lost ?? 'The outputs cannot be fetched.',
      })
    else await this.#end(tracked, { kind: 'exited', exitCode: observation.exitCode, collected })
  }

  async #end(tracked: Tracked, ending: AttemptEnding): Promise<void> {
    // Abandoned meanwhile: its end is nobody's news.
    if (!this.#tracked.has(tracked)) return
    this.#tracked.remove(tracked.attempt.request.id)
    this.wake()
    // What the listener keeps is safe before anything is deleted.
    const isTaken = await tracked.attempt.ended(ending)
    if (isTaken && tracked.handle !== undefined) await this.#release(tracked.handle)
  }

  /** What cannot be released now is when the environment answers again, lest it stays there. */
  async #release(handle: JobHandle): Promise<void> {
    try {
      await this.environment.release([handle], this.#stop.signal)
    } catch {
      // As a chore it is warned of, if it still cannot be.
      if (!this.#stop.signal.aborted) await this.endHandles([handle])
    }
  }
}
