import { setTimeout as delay } from 'node:timers/promises'
import type {
  CollectedFiles,
  Environment,
  JobHandle,
  JobId,
  JobRequest,
  Observation,
  StopCause,
  SubmitOutcome,
} from '../environment/environment.ts'
import { nextAttemptState, type AttemptEvent, type AttemptState } from './attempt.ts'

/** One attempt on its way through an environment, with the ears of whoever asked for it. */
export interface Attempt {
  readonly request: JobRequest
  /** Where outputs are collected. Does not exist before. */
  readonly directory: string
  /** Called once, before the environment is asked. What must survive a crash is committed when it resolves. */
  submitting(): Promise<void>
  moved(state: AttemptState, handle: JobHandle | undefined): void
  /** The last call. Files in `directory` belong to the listener when it is made. */
  ended(ending: AttemptEnding): Promise<void>
}

export type AttemptEnding =
  | { readonly kind: 'exited'; readonly exitCode: number; readonly collected: CollectedFiles }
  | {
      readonly kind: 'stopped'
      readonly cause: StopCause
      readonly message: string
      readonly collected: CollectedFiles | undefined
    }
  | { readonly kind: 'lost' | 'rejected'; readonly message: string }

/** An execution, as seen by a tracker: it gives work when there is room. */
export interface AttemptSource {
  take(limit: number): readonly Attempt[]
}

interface Tracked {
  readonly attempt: Attempt
  state: AttemptState
  handle: JobHandle | undefined
  isCancelWanted: boolean
  lostSince: number | undefined
}

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
  #outage: string | undefined
  #deferrals = 0
  #isSubmitting = false
  #isWokenAgain = false
  readonly #background = new Set<Promise<unknown>>()

  constructor(
    environment: Environment,
    options: { now: () => number; warn: (message: string) => void; lostGraceMs?: number },
  ) {
    this.environment = environment
    this.#now = options.now
    this.#warn = options.warn
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
    const pausedBecause = this.#isPausing ? (this.#deferralReason ?? 'it asked to wait') : this.#outage
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

  /** Asks for attempts to stop. Their end is told as any other. */
  async cancel(ids: readonly JobId[]): Promise<void> {
    const handles: JobHandle[] = []
    for (const id of ids) {
      const tracked = this.#tracked.get(id)
      if (tracked === undefined) continue
      tracked.isCancelWanted = true
      if (tracked.handle !== undefined) handles.push(tracked.handle)
      else if (this.#deferred.includes(tracked)) {
        this.#deferred = this.#deferred.filter((waiting) => waiting !== tracked)
        await this.#end(tracked, cancelledBeforeStart)
      }
    }
    if (handles.length > 0) await this.environment.cancel(handles, this.#stop.signal)
  }

  /** Lets go of the environment. What runs there goes on where it survives a restart. */
  async close(): Promise<void> {
    this.#stop.abort()
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
    const batch = this.#isPausing ? [] : this.#deferred.splice(0, room)
    // In turn, and each source only its share, so that one large execution does not hold up the others.
    for (let round = this.#sources.length; round > 0 && batch.length < room; round -= 1) {
      const source = this.#sources.shift()
      if (source === undefined) break
      this.#sources.push(source)
      for (const attempt of source.take(Math.ceil((room - batch.length) / round))) {
        const tracked: Tracked = {
          attempt,
          state: 'ready',
          handle: undefined,
          isCancelWanted: false,
          lostSince: undefined,
        }
        this.#tracked.set(attempt.request.id, tracked)
        batch.push(tracked)
      }
    }
    return batch
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
      outcomes = await this.#afterFailedSubmit(batch, error)
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

  /** Nobody knows what a submit that threw has started: only the environment itself can tell. */
  async #afterFailedSubmit(
    batch: readonly Tracked[],
    error: unknown,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    const reason = error instanceof Error ? error.message : String(error)
    this.#warn(`${this.environment.name}: submitting failed, asking what was started: ${reason}`)
    const ids = batch.map(({ attempt }) => attempt.request.id)
    const found = await this.environment.recover(ids, this.#stop.signal).catch(() => [])
    return new Map(found.map((handle) => [handle.id, { kind: 'accepted', handle }]))
  }

  async #accept(tracked: Tracked, handle: JobHandle): Promise<void> {
    tracked.handle = handle
    this.#move(tracked, { kind: 'accepted' })
    if (tracked.isCancelWanted) await this.environment.cancel([handle], this.#stop.signal)
  }

  async #defer(tracked: Tracked): Promise<void> {
    this.#move(tracked, { kind: 'deferred' })
    if (tracked.isCancelWanted) await this.#end(tracked, cancelledBeforeStart)
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
        const hasChanged = await this.#observe([...this.#tracked.keys()])
        this.#outage = undefined
        waitMs = hasChanged ? minMs : Math.min(maxMs, waitMs + stepMs)
      } catch (error) {
        if (this.#stop.signal.aborted) return
        // No answer is no news: every job stays as it was.
        this.#outage = `it gives no answer: ${error instanceof Error ? error.message : String(error)}`
        this.#warn(`${this.environment.name}: ${this.#outage}`)
        waitMs = Math.min(maxMs, waitMs * 2)
      }
    }
  }

  async #observe(ids: readonly JobId[]): Promise<boolean> {
    const asked = ids.flatMap((id) => {
      const handle = this.#tracked.get(id)?.handle
      return handle === undefined ? [] : [handle]
    })
    if (asked.length === 0) return false
    const observations = await this.environment.observe(asked, this.#stop.signal)
    const endings: Promise<void>[] = []
    let hasChanged = false
    for (const [id, observation] of observations) {
      const tracked = this.#tracked.get(id)
      if (tracked === undefined || !this.#isBelieved(tracked, observation)) continue
      if (!this.#move(tracked, { kind: 'observed', observation })) continue
      hasChanged = true
      if (observation.kind === 'lost') endings.push(this.#end(tracked, observation))
      else if (observation.kind === 'exited' || observation.kind === 'stopped')
        endings.push(this.#collect(tracked, observation))
    }
    await Promise.all(endings)
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
    const collected = await this.environment
      .collect(handle, attempt.directory, this.#stop.signal)
      .catch((error: unknown) => {
        this.#warn(`${this.environment.name}: outputs of ${handle.id} cannot be fetched: ${String(error)}`)
        return undefined
      })
    if (this.#stop.signal.aborted) return
    if (observation.kind === 'stopped') await this.#end(tracked, { ...observation, collected })
    else if (collected === undefined)
      await this.#end(tracked, { kind: 'lost', message: 'The outputs cannot be fetched.' })
    else await this.#end(tracked, { kind: 'exited', exitCode: observation.exitCode, collected })
  }

  async #end(tracked: Tracked, ending: AttemptEnding): Promise<void> {
    this.#tracked.delete(tracked.attempt.request.id)
    this.wake()
    // What the listener keeps is safe before anything is deleted.
    await tracked.attempt.ended(ending)
    if (tracked.handle !== undefined) await this.environment.release([tracked.handle], this.#stop.signal)
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
