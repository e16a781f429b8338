import { setTimeout as delay } from 'node:timers/promises'
import type { Environment, JobHandle, JobId, Observation, SubmitOutcome } from '../environment/environment.ts'
import { nextAttemptState, type AttemptEvent, type AttemptState } from './attempt.ts'
import type { Attempt, AttemptEnding, AttemptSource } from './attempt-source.ts'
import { bringResults } from './bring-results.ts'
import { Chores, type ChoreStore } from './chores.ts'
import { Outage } from './outage.ts'

interface Tracked {
  readonly attempt: Attempt
  state: AttemptState
  handle: JobHandle | undefined
  isCancelWanted: boolean
  /** Whether the environment has been told of the wish. */
  isCancelDelivered: boolean
  lostSince: number | undefined
}

export interface TrackerOptions {
  readonly now: () => number
  readonly warn: (message: string) => void
  readonly chores: ChoreStore
  readonly lostGraceMs?: number
}

/** How often and after how many milliseconds a job is looked for of which nobody knows whether it was taken. */
const searchDelaysMs = [0, 2000, 5000]

/**
 * Keeps one environment busy. Takes attempts from executions in turn whenever there is room, submits them in
 * batches, follows each to its end, and never starts anything else. One per environment of the server.
 */
export class EnvironmentTracker {
  readonly environment: Environment
  readonly #sources: AttemptSource[] = []
  readonly #tracked = new Map<JobId, Tracked>()
  readonly #stop = new AbortController()
  readonly #now: () => number
  readonly #warn: (message: string) => void
  readonly #lostGraceMs: number
  #deferred: Tracked[] = []
  #isPausing = false
  #deferralReason: string | undefined
  readonly #outage: Outage
  #deferrals = 0
  #isSubmitting = false
  #isWokenAgain = false
  readonly #background = new Set<Promise<unknown>>()
  readonly #chores: Chores

  constructor(environment: Environment, options: TrackerOptions) {
    this.environment = environment
    this.#now = options.now
    this.#warn = options.warn
    this.#outage = new Outage(options.now, (reason) => this.#warn(`${environment.name}: ${reason}`))
    this.#chores = new Chores(environment, {
      store: options.chores,
      signal: this.#stop.signal,
      warn: (message) => this.#warn(`${environment.name}: ${message}`),
    })
    this.#lostGraceMs = options.lostGraceMs ?? (environment.capabilities.sharedFileSystem ? 0 : 270_000)
    environment.watch?.((ids) => this.#run(this.#observe(ids)), this.#stop.signal)
    this.#run(this.#poll())
  }

  add(source: AttemptSource): void {
    this.#sources.push(source)
  }

  remove(source: AttemptSource): void {
    const index = this.#sources.indexOf(source)
    if (index >= 0) this.#sources.splice(index, 1)
  }

  /** How much is going on here, and why nothing more is taken if that is so. */
  get activity(): { active: number; limit: number; pausedBecause: string | undefined } {
    const pausedBecause = this.#isPausing ? (this.#deferralReason ?? 'it asked to wait') : this.#outage.reason
    return { active: this.#tracked.size, limit: this.environment.capabilities.maxActiveJobs, pausedBecause }
  }

  /** Says that a source may have work. */
  wake(): void {
    if (this.#isSubmitting) {
      this.#isWokenAgain = true
      return
    }
    this.#isSubmitting = true
    this.#run(this.#submitAll())
  }

  /**
   * Follows an attempt that an earlier life of the server has made. Without a handle nobody knows whether it was ever
   * taken: then it is looked for, and submitted when it is not there.
   */
  adopt(attempt: Attempt, handle: JobHandle | undefined): void {
    const tracked: Tracked = {
      attempt,
      state: handle === undefined ? 'submitting' : 'queued',
      handle,
      isCancelWanted: false,
      isCancelDelivered: false,
      lostSince: undefined,
    }
    this.#tracked.set(attempt.request.id, tracked)
    if (handle === undefined) this.#run(this.#search([tracked]))
  }

  /** Asks for attempts to stop. Their end is told as any other; where no answer comes now, they are asked again later. */
  async cancel(ids: readonly JobId[]): Promise<void> {
    for (const id of ids) {
      const tracked = this.#tracked.get(id)
      if (tracked === undefined) continue
      tracked.isCancelWanted = true
      if (!this.#deferred.includes(tracked)) continue
      this.#deferred = this.#deferred.filter((waiting) => waiting !== tracked)
      await this.#end(tracked, cancelledBeforeStart)
    }
    await this.#deliverCancels().catch((error: unknown) => this.#outage.note(error))
  }

  /** Ends attempts without waiting for their end, and without telling anybody of it: as soon as the environment answers. */
  async abandon(ids: readonly JobId[]): Promise<void> {
    const handles = ids.flatMap((id) => {
      const tracked = this.#tracked.get(id)
      this.#tracked.delete(id)
      if (tracked !== undefined) this.#deferred = this.#deferred.filter((waiting) => waiting !== tracked)
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
    await Promise.allSettled(this.#background)
  }

  /** Owns a promise that nobody awaits: its failure is a warning, and closing waits for it. */
  #run(work: Promise<unknown>): void {
    const owned: Promise<unknown> = work
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted)
          this.#warn(`${this.environment.name}: ${error instanceof Error ? error.message : String(error)}`)
      })
      .finally(() => this.#background.delete(owned))
    this.#background.add(owned)
  }

  async #submitAll(): Promise<void> {
    const { maxActiveJobs, maxJobsPerSubmit } = this.environment.capabilities
    try {
      do {
        this.#isWokenAgain = false
        for (;;) {
          if (this.#stop.signal.aborted) return
          const room = Math.min(maxJobsPerSubmit, maxActiveJobs - this.#tracked.size + this.#deferred.length)
          const batch = room > 0 ? this.#takeBatch(room) : []
          if (batch.length === 0) break
          await this.#submit(batch)
        }
      } while (this.#isWokenAgain)
    } finally {
      // In the turn of the last look: a wake after it starts anew instead of being forgotten.
      this.#isSubmitting = false
    }
  }

  #takeBatch(room: number): Tracked[] {
    // Asked while it refuses or gives no answer, it would only be asked again.
    if (this.#isPausing || this.#outage.reason !== undefined) return []
    const batch = this.#deferred.splice(0, room)
    // In turn, and each source only its share, so that one large execution does not hold up the others.
    for (let round = this.#sources.length; round > 0 && batch.length < room; round -= 1) {
      const source = this.#sources.shift()
      if (source === undefined) break
      this.#sources.push(source)
      for (const attempt of this.#takeInTurnOf(source, Math.ceil((room - batch.length) / round))) {
        const tracked: Tracked = {
          attempt,
          state: 'ready',
          handle: undefined,
          isCancelWanted: false,
          isCancelDelivered: false,
          lostSince: undefined,
        }
        this.#tracked.set(attempt.request.id, tracked)
        batch.push(tracked)
      }
    }
    return batch
  }

  /** What comes in the turn of a source: of those of its group first, which have a higher priority. */
  #takeInTurnOf(source: AttemptSource, share: number): readonly Attempt[] {
    const group = source.precedence?.group
    if (group === undefined) return source.take(share)
    const taken: Attempt[] = []
    const own = this.#sources
      .filter(({ precedence }) => precedence?.group === group)
      .toSorted((a, b) => (b.precedence?.priority ?? 0) - (a.precedence?.priority ?? 0))
    for (const each of own) {
      if (taken.length >= share) break
      taken.push(...each.take(share - taken.length))
    }
    return taken
  }

  async #submit(batch: readonly Tracked[]): Promise<void> {
    for (const tracked of batch) this.#move(tracked, { kind: 'submit' })
    await Promise.all(batch.map(async ({ attempt }) => attempt.submitting()))
    let outcomes: ReadonlyMap<JobId, SubmitOutcome>
    try {
      outcomes = await this.environment.submit(
        batch.map(({ attempt }) => attempt.request),
        this.#stop.signal,
      )
    } catch (error) {
      if (this.#stop.signal.aborted) return
      // Nobody knows what a submit that threw has started: only the environment itself can tell.
      this.#warn(`${this.environment.name}: submitting failed, asking what was started: ${reasonOf(error)}`)
      this.#run(this.#search(batch))
      return
    }
    let isAnyDeferred = false
    for (const tracked of batch) {
      const outcome = outcomes.get(tracked.attempt.request.id)
      if (outcome?.kind === 'accepted') await this.#accept(tracked, outcome.handle)
      else if (outcome?.kind === 'rejected') {
        this.#move(tracked, { kind: 'rejected' })
        await this.#end(tracked, { kind: 'rejected', message: outcome.reason })
      } else {
        isAnyDeferred = true
        this.#deferralReason = outcome?.reason
        await this.#defer(tracked)
      }
    }
    if (!isAnyDeferred) this.#deferrals = 0
    else this.#waitBeforeNextTry()
  }

  /** Finds out which of these the environment has taken; what it has not is submitted again. */
  async #search(batch: readonly Tracked[]): Promise<void> {
    const missing = new Map(batch.map((tracked) => [tracked.attempt.request.id, tracked]))
    for (let tries = 0; missing.size > 0 && tries < searchDelaysMs.length;) {
      await delay(searchDelaysMs[tries], undefined, { signal: this.#stop.signal, ref: false })
      try {
        const found = await this.environment.recover([...missing.keys()], this.#stop.signal)
        tries = this.environment.capabilities.survivesRestart ? tries + 1 : searchDelaysMs.length
        for (const handle of found) {
          const tracked = missing.get(handle.id)
          missing.delete(handle.id)
          if (tracked !== undefined) await this.#accept(tracked, handle)
        }
      } catch (error) {
        if (this.#stop.signal.aborted) return
        // Submitting now could start it a second time.
        this.#outage.note(error)
        await delay(this.environment.capabilities.pollInterval.maxMs, undefined, {
          signal: this.#stop.signal,
          ref: false,
        })
      }
    }
    if (missing.size > 0) this.#waitBeforeNextTry()
    for (const tracked of missing.values()) await this.#defer(tracked)
  }

  async #accept(tracked: Tracked, handle: JobHandle): Promise<void> {
    // Abandoned while it was on its way, or looked for: nobody would ever end it.
    if (this.#tracked.get(tracked.attempt.request.id) !== tracked) return this.endHandles([handle])
    tracked.handle = handle
    this.#move(tracked, { kind: 'accepted' })
    if (tracked.isCancelWanted) await this.#deliverCancels()
  }

  async #deliverCancels(): Promise<void> {
    const undelivered = [...this.#tracked.values()].filter(
      ({ isCancelWanted, isCancelDelivered }) => isCancelWanted && !isCancelDelivered,
    )
    const handles = undelivered.flatMap(({ handle }) => handle ?? [])
    if (handles.length === 0) return
    await this.environment.cancel(handles, this.#stop.signal)
    for (const tracked of undelivered) if (tracked.handle !== undefined) tracked.isCancelDelivered = true
  }

  async #defer(tracked: Tracked): Promise<void> {
    // Abandoned meanwhile.
    if (!this.#tracked.has(tracked.attempt.request.id)) return
    this.#move(tracked, { kind: 'deferred' })
    if (tracked.isCancelWanted) await this.#end(tracked, cancelledBeforeStart)
    else if (tracked.attempt.isMovable)
      await this.#end(tracked, { kind: 'given-back', message: this.#deferralReason ?? 'it asked to wait' })
    else this.#deferred.push(tracked)
  }

  #waitBeforeNextTry(): void {
    this.#deferrals += 1
    const waitMs = Math.min(60_000, 1000 * 2 ** Math.min(6, this.#deferrals))
    this.#isPausing = true
    const goOn = (): void => {
      this.#isPausing = false
      this.wake()
    }
    this.#run(delay(waitMs, undefined, { signal: this.#stop.signal }).then(goOn))
  }

  async #poll(): Promise<void> {
    const { minMs, maxMs, stepMs } = this.environment.capabilities.pollInterval
    let waitMs = minMs
    for (;;) {
      await delay(waitMs, undefined, { signal: this.#stop.signal, ref: false })
      try {
        if (this.#outage.reason !== undefined && this.#tracked.size === 0)
          await this.environment.check(this.#stop.signal)
        await this.#deliverCancels()
        const hasChanged = await this.#observe([...this.#tracked.keys()])
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

  /** By its own word, an environment that was away for so long has lost its jobs. Should it come back, they are ended. */
  async #giveUpAfterOutage(): Promise<void> {
    const { lostAfterOutageMs } = this.environment.capabilities
    if (lostAfterOutageMs === undefined || this.#outage.forMs < lostAfterOutageMs) return
    const message = `${this.environment.name} has not answered for ${Math.round(lostAfterOutageMs / 1000)} s: ${this.#outage.reason ?? ''}`
    for (const [id, { attempt, state, handle }] of this.#tracked) {
      if (handle === undefined || state === 'collecting') continue
      this.#tracked.delete(id)
      // Not taken, it is adopted by the next life of the server.
      if (await attempt.ended({ kind: 'lost', message })) await this.endHandles([handle])
    }
  }

  async #observe(ids: readonly JobId[]): Promise<boolean> {
    const asked = ids.flatMap((id) => {
      const handle = this.#tracked.get(id)?.handle
      return handle === undefined ? [] : [handle]
    })
    if (asked.length === 0) return false
    const observations = await this.environment.observe(asked, this.#stop.signal)
    let hasChanged = false
    for (const [id, observation] of observations) {
      const tracked = this.#tracked.get(id)
      if (tracked === undefined || !this.#isBelieved(tracked, observation)) continue
      if (!this.#move(tracked, { kind: 'observed', observation })) continue
      hasChanged = true
      // Fetching may take long, and others must be asked about meanwhile.
      if (observation.kind === 'lost') this.#run(this.#end(tracked, observation))
      else if (observation.kind === 'exited' || observation.kind === 'stopped')
        this.#run(this.#collect(tracked, observation))
    }
    return hasChanged
  }

  #isBelieved(tracked: Tracked, observation: Observation): boolean {
    if (observation.kind === 'unclear') this.#warn(`${this.environment.name}: ${observation.message}`)
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
      isWanted: () => this.#tracked.has(handle.id),
      warn: (message) => this.#warn(`${this.environment.name}: ${message}`),
    })
    if (this.#stop.signal.aborted) return
    if (observation.kind === 'stopped') await this.#end(tracked, { ...observation, collected })
    else if (collected === undefined)
      await this.#end(tracked, { kind: 'lost', message: 'The outputs cannot be fetched.' })
    else await this.#end(tracked, { kind: 'exited', exitCode: observation.exitCode, collected })
  }

  async #end(tracked: Tracked, ending: AttemptEnding): Promise<void> {
    // Abandoned meanwhile: its end is nobody's news.
    if (!this.#tracked.has(tracked.attempt.request.id)) return
    this.#tracked.delete(tracked.attempt.request.id)
    this.wake()
    // What the listener keeps is safe before anything is deleted.
    const isTaken = await tracked.attempt.ended(ending)
    if (isTaken && tracked.handle !== undefined)
      await this.environment.release([tracked.handle], this.#stop.signal)
  }

  #move(tracked: Tracked, event: AttemptEvent): boolean {
    const state = nextAttemptState(tracked.state, event)
    if (state === undefined) return false
    tracked.state = state
    tracked.attempt.moved(state, tracked.handle)
    return true
  }
}

const cancelledBeforeStart: AttemptEnding = {
  kind: 'stopped',
  cause: 'cancelled',
  message: 'cancelled before it started',
  collected: undefined,
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
