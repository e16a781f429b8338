import { EnvironmentError } from '../../../src/environment/environment.ts'
import type { PilotTimes } from '../../../src/environment/batch/pilot-script.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { askCluster } from '../cluster/ask-cluster.ts'
import { clockOf } from '../cluster/clock.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { instanceSelector } from '../pods/names.ts'
import type { KubernetesOptions } from '../options.ts'
import { meaningOf } from '../pods/outcome.ts'
import { watchObjects, type Watched } from '../cluster/watch.ts'
import type { WireJob, WirePod } from '../cluster/wire.ts'
import { pilotBody, pilotLabel, type PilotMode } from './body.ts'
import { pilotStateOf, type PilotState } from './state.ts'

export interface FleetParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions
  readonly pilots: PilotMode
  readonly times: PilotTimes
  readonly instance: string
  /** Random letters and digits. */
  readonly newMark: () => string
  readonly now: () => number
  readonly warn: (message: string) => void
  /** Gets a Job as it was sent and as the server made it. */
  readonly made: (sent: WireJob, kept: WireJob) => void
}

export interface Pilot {
  readonly name: string
  readonly state: PilotState
}

/** A Job that was made just now may be missing in the copy for so long. */
const unseenMs = 60_000
/** Pilots that end before any job of theirs began are made again after so long, then after twice as long. */
const [firstPauseMs, longestPauseMs] = [5000, 600_000]
const pollMs = 50

/** The pilots of an environment: all that have its label, whichever life of the server made them. */
export class PilotFleet {
  readonly #parts: FleetParts
  readonly #signal: AbortSignal
  readonly #changed: () => void
  #watchedJobs: Watched<WireJob> | undefined
  #watchedPods: Watched<WirePod> | undefined
  readonly #unseen = new Map<string, number>()
  readonly #deleted = new Set<string>()
  #failures = 0
  #pauseUntil = 0
  #refusal: string | undefined
  #reason: string | undefined
  /** One after the other: what is made is known to whoever counts next. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: FleetParts, changed: () => void, signal: AbortSignal) {
    this.#parts = parts
    this.#changed = changed
    this.#signal = signal
  }

  /** Begins to watch, once. Throws ApiError where the cluster cannot be asked now. */
  async begin(signal: AbortSignal): Promise<void> {
    const { cluster, instance, warn, now } = this.#parts
    const selector = { labelSelector: `${instanceSelector(instance)},${pilotLabel}` }
    const common = { selector, warn, clock: clockOf(now), changed: () => this.#changed() }
    this.#watchedJobs ??= watchObjects({ ...common, collection: cluster.jobs }, this.#signal)
    this.#watchedPods ??= watchObjects({ ...common, collection: cluster.pods }, this.#signal)
    for (const watched of [this.#watchedJobs, this.#watchedPods])
      while (!watched.health().isListed) {
        signal.throwIfAborted()
        this.#signal.throwIfAborted()
        const { error } = watched.health()
        if (error instanceof ApiError) throw error
        if (error !== undefined) throw new EnvironmentError(error.message, { cause: error })
        await Promise.race([watched.listed, clockOf(now).wait(pollMs, signal)])
      }
  }

  /** Whether the copy is there. */
  get isListed(): boolean {
    return this.#watchedJobs?.health().isListed === true && this.#watchedPods?.health().isListed === true
  }

  /** Why the copy may be old now. */
  get error(): Error | undefined {
    return this.#watchedJobs?.health().error ?? this.#watchedPods?.health().error
  }

  async ended(): Promise<void> {
    await this.#watchedJobs?.ended
    await this.#watchedPods?.ended
    await this.#turn
  }

  /** Those that there are; gone ones until they are deleted. */
  pilots(): readonly Pilot[] {
    const { options, now } = this.#parts
    const limits = { pendingLimitMs: options.pendingLimit, stopGraceMs: options.stopGraceMs }
    const pods = Map.groupBy(
      this.#watchedPods?.objects.values() ?? [],
      ({ metadata }) => metadata?.labels?.[pilotLabel] ?? '',
    )
    const names = new Set<string>()
    const pilots: Pilot[] = []
    for (const job of this.#watchedJobs?.objects.values() ?? []) {
      const name = job.metadata?.name ?? ''
      names.add(name)
      this.#unseen.delete(name)
      if (!this.#deleted.has(name))
        pilots.push({ name, state: pilotStateOf(job, pods.get(name) ?? [], limits, now()) })
    }
    for (const name of this.#deleted) if (!names.has(name)) this.#deleted.delete(name)
    for (const [name, since] of this.#unseen)
      if (now() - since > unseenMs) this.#unseen.delete(name)
      else pilots.push({ name, state: { kind: 'starting', reason: undefined } })
    return pilots
  }

  /** Why jobs have to wait, as far as that is known. */
  get reason(): string | undefined {
    const waiting = this.pilots().flatMap(({ state }) => (state.kind === 'starting' ? [state.reason] : []))
    return waiting.find((reason) => reason !== undefined) ?? this.#reason
  }

  /** A job has begun: pilots are good for something. */
  succeeded(): void {
    this.#failures = 0
    this.#pauseUntil = 0
    this.#refusal = undefined
  }

  /** A pilot has ended before any job of it began. */
  failed(refusal: string | undefined): void {
    const { warn, now } = this.#parts
    this.#pauseUntil = now() + Math.min(longestPauseMs, firstPauseMs * 2 ** this.#failures)
    this.#failures += 1
    this.#refusal = refusal
    if (this.#failures === 3) warn('Pilots end before they run a job.')
  }

  /**
   * Makes as many as the jobs that wait need, whose slots are counted here. Gives why that will always be refused;
   * undefined where it is not. Throws EnvironmentError.
   */
  ensure(waitingSlots: number, signal: AbortSignal): Promise<string | undefined> {
    const result = this.#turn.then(() => this.#ensure(waitingSlots, signal))
    this.#turn = result.catch(() => undefined)
    return result
  }

  async #ensure(waitingSlots: number, signal: AbortSignal): Promise<string | undefined> {
    const { pilots, now } = this.#parts
    const states = this.pilots().map(({ state }) => state.kind)
    const starting = states.filter((kind) => kind === 'starting').length
    const alive = starting + states.filter((kind) => kind === 'open').length
    const wanted = Math.ceil(waitingSlots / pilots.slots) - starting
    if (wanted > 0 && now() < this.#pauseUntil) return alive === 0 ? this.#refusal : undefined
    for (let left = Math.min(wanted, pilots.count - alive); left > 0; left -= 1) {
      const refusal = await this.#make(signal)
      if (refusal !== undefined) return alive === 0 ? refusal : undefined
      if (now() < this.#pauseUntil) return undefined
    }
    return undefined
  }

  async #make(signal: AbortSignal): Promise<string | undefined> {
    const { cluster, options, instance, pilots, times, newMark, now, made } = this.#parts
    const name = `mh-pilot-${newMark().toLowerCase()}`
    // There are no times in it, which the client's types would have as dates.
    const body = pilotBody({ name, instance, pilots, times }, options) as unknown as WireJob
    this.#reason = undefined
    try {
      made(body, await cluster.jobs.create(body, signal))
      this.#unseen.set(name, now())
      return undefined
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      const meaning = meaningOf(error, await cluster.namespace(signal))
      if (meaning.kind === 'environment') throw new EnvironmentError(meaning.message, { cause: error })
      const isRefused = meaning.kind === 'outcome' && meaning.outcome.kind === 'rejected'
      this.#reason = error.message
      this.failed(isRefused ? error.message : undefined)
      return this.#refusal
    }
  }

  /** There is nothing to do for now: those that have not begun need not. */
  async rest(signal: AbortSignal): Promise<void> {
    for (const { name, state } of this.pilots())
      if (state.kind === 'starting') await this.delete(name, signal)
  }

  /** Throws EnvironmentError. */
  async delete(name: string, signal: AbortSignal): Promise<void> {
    if (this.#deleted.has(name)) return
    this.#deleted.add(name)
    this.#unseen.delete(name)
    const { cluster } = this.#parts
    const pods = [...(this.#watchedPods?.objects.values() ?? [])].filter(
      ({ metadata }) => metadata?.labels?.[pilotLabel] === name,
    )
    try {
      await askCluster(async () => {
        await cluster.jobs.delete(name, { propagationPolicy: 'Background' }, signal)
        for (const { metadata } of pods)
          if (metadata?.name !== undefined && metadata.deletionTimestamp === undefined)
            await cluster.pods.delete(metadata.name, { gracePeriodSeconds: 1 }, signal)
      })
    } catch (error) {
      this.#deleted.delete(name)
      throw error
    }
  }
}
