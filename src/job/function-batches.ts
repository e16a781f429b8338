import type { FunctionCall, FunctionHost, FunctionOutcome } from '../script/contract.ts'
import { messageOf } from '../problem.ts'

/** Function jobs of one capsule, taken together. */
export interface FunctionBatch {
  readonly functionName: string
  readonly calls: readonly FunctionCall[]
  readonly timeoutMs: number | null
  /** Called once, with an outcome per call. */
  ended(outcomes: readonly FunctionOutcome[]): Promise<void>
}

/** An execution's capsules with function tasks, downstream first. */
export interface FunctionSource {
  readonly capsules: readonly number[]
  /** Jobs of the capsule that could start now. */
  waiting(capsule: number): number
  /** Fixed by `.by(n)`, or undefined where the size may follow the run time. */
  groupSize(capsule: number): number | undefined
  take(capsule: number, limit: number): FunctionBatch | undefined
}

/** Long enough that a message costs little beside it, short enough that slow calls spread over all workers. */
const targetMs = 25
const largestBatch = 500

/**
 * Keeps a function host busy. A message per call would cost more than most calls, so calls go in batches, and the
 * size of a capsule's batches follows the run time measured so far.
 */
export class FunctionBatches {
  readonly #host: FunctionHost
  readonly #source: FunctionSource
  readonly #now: () => number
  readonly #stop = new AbortController()
  readonly #callMs = new Map<number, number>()
  readonly #running = new Set<Promise<void>>()

  /** @param now a clock for durations, in milliseconds */
  constructor(host: FunctionHost, source: FunctionSource, now: () => number) {
    this.#host = host
    this.#source = source
    this.#now = now
  }

  /** Starts what there is room for. Called whenever a job may have become ready. */
  wake(): void {
    // Two a worker: the next batch is there when one ends.
    while (this.#running.size < 2 * this.#host.parallelism && !this.#stop.signal.aborted)
      if (!this.#startOne()) return
  }

  /** Ends all calls under way. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'))
    await Promise.allSettled(this.#running)
  }

  #startOne(): boolean {
    for (const capsule of this.#source.capsules) {
      const waiting = this.#source.waiting(capsule)
      if (waiting === 0) continue
      const batch = this.#source.take(capsule, this.#size(capsule, waiting))
      if (batch === undefined) continue
      const run: Promise<void> = this.#run(capsule, batch).finally(() => {
        this.#running.delete(run)
        this.wake()
      })
      this.#running.add(run)
      return true
    }
    return false
  }

  #size(capsule: number, waiting: number): number {
    const fixed = this.#source.groupSize(capsule)
    if (fixed !== undefined) return fixed
    const callMs = this.#callMs.get(capsule)
    // The first calls go alone: nobody knows yet whether they take a microsecond or an hour.
    if (callMs === undefined) return 1
    const byTime = Math.max(1, Math.floor(targetMs / Math.max(callMs, targetMs / largestBatch)))
    return Math.min(byTime, Math.max(1, Math.ceil(waiting / this.#host.parallelism)))
  }

  async #run(capsule: number, batch: FunctionBatch): Promise<void> {
    const startedAt = this.#now()
    const { functionName, calls, timeoutMs } = batch
    let outcomes: readonly FunctionOutcome[]
    try {
      outcomes = await this.#host.call(functionName, calls, { timeoutMs, signal: this.#stop.signal })
    } catch (error) {
      if (this.#stop.signal.aborted) return
      const message = messageOf(error)
      outcomes = calls.map(() => ({ kind: 'crashed', message }))
    }
    if (this.#stop.signal.aborted) return
    this.#learn(capsule, (this.#now() - startedAt) / calls.length)
    await batch.ended(outcomes)
  }

  #learn(capsule: number, callMs: number): void {
    const known = this.#callMs.get(capsule)
    // The very first call waits for its worker to start; it is soon outweighed.
    this.#callMs.set(capsule, known === undefined ? callMs : 0.5 * known + 0.5 * callMs)
  }
}
