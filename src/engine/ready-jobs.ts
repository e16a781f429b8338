import { findFeeders, findUpstream } from './feeding.ts'
import type { Job } from './job.ts'
import { waitingSamples, type Exploration, type RunState } from './state.ts'

/** More jobs than this are never made ahead of those that can start. */
const mostReady = 10_000

/** While so many explorations are being opened, none is begun that would only open one more. */
const mostOpening = 100

/** A run's jobs that could start now. More are made of samples when they are asked for, and not before. */
export class ReadyJobs {
  readonly #state: RunState
  readonly #live: ReadonlySet<Job>
  readonly #beginSample: (exploration: Exploration) => void
  readonly #feeders: readonly (readonly number[])[]
  readonly #upstream: readonly ReadonlySet<number>[]
  readonly #queues: Job[][]
  #count = 0

  /**
   * @param live all jobs that have been made and have not ended
   * @param beginSample begins an exploration's next sample; what it makes is queued here before it returns
   */
  constructor(state: RunState, live: ReadonlySet<Job>, beginSample: (exploration: Exploration) => void) {
    this.#state = state
    this.#live = live
    this.#beginSample = beginSample
    this.#feeders = findFeeders(state.graph)
    this.#upstream = findUpstream(state.graph)
    this.#queues = state.graph.steps.map(() => [])
  }

  queue(job: Job): void {
    this.#queues[job.activation.step]?.push(job)
    this.#count += 1
  }

  /** Jobs of a capsule that could start now, those included that the next samples would bring. */
  waiting(step: number): number {
    return (this.#queues[step]?.length ?? 0) + this.#samplesFor(step)
  }

  /** Samples not begun that will each bring a job to a capsule. */
  samplesAhead(step: number): number {
    let samples = 0
    for (const exploration of this.#state.explorations)
      if (this.#feeders[step]?.[0] === exploration.step) samples += waitingSamples(exploration)
    return samples
  }

  /**
   * Takes jobs that are to start now, making them of samples where there are none. With a group size, the last jobs
   * are given only when the group is full or no more can come.
   */
  take(step: number, limit: number, groupSize: number): readonly Job[] {
    const queue = this.#queues[step]
    if (queue === undefined) return []
    while (queue.length < limit && this.#count < mostReady && this.#makeSample(step)) continue
    if (queue.length < groupSize && this.#mayGrow(step)) return []
    const taken = queue.splice(0, limit)
    this.#count -= taken.length
    return taken
  }

  /** Whether the jobs of a capsule wait for others to fill their group. */
  isGroupOpen(step: number, groupSize: number): boolean {
    const waiting = this.#queues[step]?.length ?? 0
    return waiting > 0 && waiting < groupSize && this.#mayGrow(step)
  }

  #samplesFor(step: number): number {
    let samples = 0
    for (const exploration of this.#state.explorations)
      if (this.#feeders[step]?.includes(exploration.step) === true) samples += waitingSamples(exploration)
    return samples
  }

  /** Begins the next sample of an exploration that feeds a capsule: of the innermost and oldest one that can. */
  #makeSample(step: number): boolean {
    let opening = 0
    for (const feeder of this.#feeders[step] ?? []) {
      for (const exploration of this.#state.explorations) {
        if (exploration.step !== feeder) continue
        if (exploration.samples === undefined) opening += 1
        if (waitingSamples(exploration) === 0) continue
        this.#beginSample(exploration)
        return true
      }
      if (opening >= mostOpening) return false
    }
    return false
  }

  /** Whether more jobs of a capsule can come before all that is under way has ended. */
  #mayGrow(step: number): boolean {
    const upstream = this.#upstream[step]
    if (upstream === undefined) return false
    for (const { step: exploration, samples } of this.#state.explorations)
      if (upstream.has(exploration) && (samples === undefined || this.#samplesFor(step) > 0)) return true
    for (const { activation } of this.#live) if (upstream.has(activation.step)) return true
    return false
  }
}
