import { setTimeout as delay } from 'node:timers/promises'
import type { Environment, JobHandle, JobId, SubmitOutcome } from '../environment/environment.ts'
import type { AttemptEnding } from './attempt-source.ts'
import type { BackgroundWork } from './background-work.ts'
import type { Outage } from './outage.ts'
import { SourceTurns } from './source-turns.ts'
import { moveAttempt, type Tracked, type TrackedAttempts } from './tracked-attempts.ts'
import { messageOf } from '../problem.ts'

/** What a submitter shares with the tracker whose attempts it submits. */
export interface SubmitterParts {
  readonly tracked: TrackedAttempts
  readonly outage: Outage
  readonly background: BackgroundWork
  readonly signal: AbortSignal
  readonly warn: (message: string) => void
  /** The environment has taken an attempt. */
  readonly accepted: (tracked: Tracked, handle: JobHandle) => Promise<void>
  /** An attempt is over before anything of it has started. */
  readonly ended: (tracked: Tracked, ending: AttemptEnding) => Promise<void>
}

/** How often and after how many milliseconds a job is looked for of which nobody knows whether it was taken. */
const searchDelaysMs = [0, 2000, 5000]

/**
 * Brings attempts to one environment: takes them from executions whenever there is room, submits them in batches, and
 * keeps those that it would not take yet.
 */
export class Submitter {
  readonly sources = new SourceTurns()
  readonly #environment: Environment
  readonly #parts: SubmitterParts
  #deferred: Tracked[] = []
  #isPausing = false
  #deferralReason: string | undefined
  #deferrals = 0
  #isSubmitting = false
  #isWokenAgain = false

  constructor(environment: Environment, parts: SubmitterParts) {
    this.#environment = environment
    this.#parts = parts
  }

  /** Why the environment wants nothing more now; undefined where it would take more. */
  get pausedBecause(): string | undefined {
    return this.#isPausing ? (this.#deferralReason ?? 'it asked to wait') : undefined
  }

  /** Says that a source may have work. */
  wake(): void {
    if (this.#isSubmitting) {
      this.#isWokenAgain = true
      return
    }
    this.#isSubmitting = true
    this.#parts.background.own(this.#submitAll())
  }

  /** Lets go of an attempt that waits to be submitted again; false where it does not. */
  drop(tracked: Tracked): boolean {
    if (!this.#deferred.includes(tracked)) return false
    this.#deferred = this.#deferred.filter((waiting) => waiting !== tracked)
    return true
  }

  /** Finds out which of these the environment has taken; what it has not is submitted again. */
  async search(batch: readonly Tracked[]): Promise<void> {
    const { capabilities } = this.#environment
    const { signal, outage } = this.#parts
    const missing = new Map(batch.map((tracked) => [tracked.attempt.request.id, tracked]))
    for (let tries = 0; missing.size > 0 && tries < searchDelaysMs.length;) {
      await delay(searchDelaysMs[tries], undefined, { signal, ref: false })
      try {
        const found = await this.#environment.recover([...missing.keys()], signal)
        // It answers: what was wrong was that submission.
        outage.end()
        tries = capabilities.survivesRestart ? tries + 1 : searchDelaysMs.length
        for (const handle of found) {
          const tracked = missing.get(handle.id)
          missing.delete(handle.id)
          if (tracked !== undefined) await this.#parts.accepted(tracked, handle)
        }
      } catch (error) {
        if (signal.aborted) return
        // Submitting now could start it a second time.
        outage.note(error)
        await delay(capabilities.pollInterval.maxMs, undefined, { signal, ref: false })
      }
    }
    if (missing.size > 0) this.#waitBeforeNextTry()
    for (const tracked of missing.values()) await this.#defer(tracked)
  }

  async #submitAll(): Promise<void> {
    const { maxActiveJobs, maxJobsPerSubmit } = this.#environment.capabilities
    const { signal, tracked } = this.#parts
    try {
      do {
        this.#isWokenAgain = false
        for (;;) {
          if (signal.aborted) return
          const room = Math.min(maxJobsPerSubmit, maxActiveJobs - tracked.size + this.#deferred.length)
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
    if (this.#isPausing || this.#parts.outage.reason !== undefined) return []
    const batch = this.#deferred.splice(0, room)
    for (const attempt of this.sources.take(room - batch.length))
      batch.push(this.#parts.tracked.add(attempt, 'ready'))
    return batch
  }

  async #submit(batch: readonly Tracked[]): Promise<void> {
    const { signal, warn, background, outage, accepted, ended } = this.#parts
    for (const tracked of batch) moveAttempt(tracked, { kind: 'submit' })
    await Promise.all(batch.map(async ({ attempt }) => attempt.submitting()))
    let outcomes: ReadonlyMap<JobId, SubmitOutcome>
    try {
      outcomes = await this.#environment.submit(
        batch.map(({ attempt }) => attempt.request),
        signal,
      )
    } catch (error) {
      if (signal.aborted) return
      // Nobody knows what a submit that threw has started: only the environment itself can tell.
      this.#deferralReason = `submitting failed: ${messageOf(error)}`
      warn(`submitting failed, asking what was started: ${messageOf(error)}`)
      // Until it answers again, nothing more is taken that others could run.
      outage.note(error)
      background.own(this.search(batch))
      return
    }
    let isAnyDeferred = false
    for (const tracked of batch) {
      const outcome = outcomes.get(tracked.attempt.request.id)
      if (outcome?.kind === 'accepted') await accepted(tracked, outcome.handle)
      else if (outcome?.kind === 'rejected') {
        moveAttempt(tracked, { kind: 'rejected' })
        await ended(tracked, { kind: 'rejected', message: outcome.reason })
      } else {
        isAnyDeferred = true
        this.#deferralReason = outcome?.reason
        await this.#defer(tracked)
      }
    }
    if (!isAnyDeferred) this.#deferrals = 0
    else this.#waitBeforeNextTry()
  }

  async #defer(tracked: Tracked): Promise<void> {
    // Abandoned meanwhile.
    if (!this.#parts.tracked.has(tracked)) return
    moveAttempt(tracked, { kind: 'deferred' })
    if (tracked.isCancelWanted) await this.#parts.ended(tracked, cancelledBeforeStart)
    else if (tracked.attempt.isMovable)
      await this.#parts.ended(tracked, {
        kind: 'given-back',
        message: this.#deferralReason ?? 'it asked to wait',
      })
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
    this.#parts.background.own(delay(waitMs, undefined, { signal: this.#parts.signal }).then(goOn))
  }
}

/** How an attempt ends that nothing has begun to run. */
export const cancelledBeforeStart: AttemptEnding = {
  kind: 'stopped',
  cause: 'cancelled',
  message: 'cancelled before it started',
  collected: undefined,
}
