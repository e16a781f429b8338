import { Problem } from '../problem.ts'
import type { ExecutionState } from './contract.ts'
import { chooseNext } from './precedence.ts'

/** How much is taken on at the same time. */
export interface EngineLimits {
  /** Executions that run. */
  readonly maxExecutions: number
  /** Executions that are accepted and wait for their turn. */
  readonly maxQueuedExecutions: number
  /** Jobs of one execution. */
  readonly maxJobs: number
}

export const unlimited: EngineLimits = {
  maxExecutions: Infinity,
  maxQueuedExecutions: Infinity,
  maxJobs: Infinity,
}

interface Waiting {
  readonly state: ExecutionState
  /** Resolved when it does not wait any more, for whatever reason. */
  readonly begun: PromiseWithResolvers<void>
}

/**
 * Which executions run, and which wait until one of them has ended, first come, first served; those of one owner that
 * have priorities change places among themselves. Those that wait hold nothing open: a state to show is all that is kept of them here.
 */
export class StartQueue {
  readonly #limits: EngineLimits
  readonly #begin: (id: string) => Promise<void>
  readonly #running = new Set<string>()
  readonly #waiting = new Map<string, Waiting>()
  /** Those that begin or are ended at this moment. */
  readonly #leaving = new Map<string, Waiting>()
  #reserved = 0
  #isClosed = false

  /** @param begin lets a waiting execution run; what goes wrong there is its own to tell. */
  constructor(limits: EngineLimits, begin: (id: string) => Promise<void>) {
    this.#limits = limits
    this.#begin = begin
  }

  /** How many wait. */
  get length(): number {
    return this.#waiting.size
  }

  /** Keeps a place for a start that is being prepared, until `release`. Throws Problem server-busy. */
  reserve(): void {
    const { maxExecutions, maxQueuedExecutions } = this.#limits
    if (this.#running.size + this.#waiting.size + this.#reserved >= maxExecutions + maxQueuedExecutions)
      throw new Problem(
        'server-busy',
        `${this.#running.size} executions run and ${this.#waiting.size} wait for their turn: no more are taken.`,
        {
          hint: 'Try again when some have ended, or raise --max-queued-executions.',
          retryAfterSeconds: 30,
        },
      )
    this.#reserved += 1
  }

  release(): void {
    this.#reserved -= 1
  }

  /** Whether an execution may run at once; it then counts until it has left. */
  tryRun(id: string): boolean {
    if (this.#waiting.size > 0 || this.#running.size >= this.#limits.maxExecutions) return false
    this.#running.add(id)
    return true
  }

  wait(state: ExecutionState): void {
    this.#waiting.set(state.id, { state, begun: Promise.withResolvers() })
    this.#advance()
  }

  /** What to tell of an execution that does not run yet. */
  stateOf(id: string): ExecutionState | undefined {
    return (this.#waiting.get(id) ?? this.#leaving.get(id))?.state
  }

  /** Takes an execution out that has not begun, and ends it by `end`. Says whether there was one. */
  async drop(id: string, end: () => Promise<void>): Promise<boolean> {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return false
    this.#waiting.delete(id)
    this.#leaving.set(id, waiting)
    try {
      await end()
    } finally {
      this.#leaving.delete(id)
      waiting.begun.resolve()
    }
    return true
  }

  /** Resolves when an execution does not wait, or no longer does. */
  async begun(id: string): Promise<void> {
    await (this.#waiting.get(id) ?? this.#leaving.get(id))?.begun.promise
  }

  /** Says that an execution does not run any more: the next one may. */
  left(id: string): void {
    this.#running.delete(id)
    this.#advance()
  }

  /** Lets nothing more begin, and waits for what is just beginning. What waits goes on waiting at the next start. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { begun } of this.#waiting.values()) begun.resolve()
    await Promise.all([...this.#leaving.keys()].map(async (id) => this.begun(id)))
  }

  #advance(): void {
    while (!this.#isClosed && this.#running.size < this.#limits.maxExecutions) {
      const id = chooseNext([...this.#waiting.values()].map(({ state }) => state))?.id
      const waiting = id === undefined ? undefined : this.#waiting.get(id)
      if (id === undefined || waiting === undefined) return
      this.#waiting.delete(id)
      this.#running.add(id)
      this.#leaving.set(id, waiting)
      void this.#begin(id).finally(() => {
        this.#leaving.delete(id)
        waiting.begun.resolve()
      })
    }
  }
}
