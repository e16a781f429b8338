/** Totals that only grow: they are kept in the journal and shown as far as they are committed. */
export interface Totals {
  readonly capsules: { completed: number; failed: number }[]
  readonly environments: { done: number; failed: number }[]
}

/** What a transaction will have committed. */
export interface TallySnapshot {
  readonly totals: Totals
  readonly retriedOn: readonly number[]
}

/** How many jobs of an execution are where. Every question costs the same however many there are. */
export class Tally {
  /** Jobs at work in each capsule now. */
  readonly running: number[]
  /** Jobs waiting in each capsule now. */
  readonly ready: number[]
  /** Environment jobs that an environment has and has not started. */
  readonly submittedTo: number[]
  /** Of the waiting jobs, those that stand behind `submittedTo`, by the first environment of their capsule. */
  readonly waitingIn: number[]
  readonly runningOn: number[]
  /** Of the environment jobs that have failed, those whose job waits again. */
  readonly retriedOn: number[]
  readonly totals: Totals
  #committed: TallySnapshot

  constructor(steps: number, environments: number, totals?: Totals) {
    const zeros = (count: number): number[] => Array.from({ length: count }, () => 0)
    this.running = zeros(steps)
    this.ready = zeros(steps)
    this.submittedTo = zeros(environments)
    this.waitingIn = zeros(environments)
    this.runningOn = zeros(environments)
    this.retriedOn = zeros(environments)
    this.totals = totals ?? {
      capsules: zeros(steps).map(() => ({ completed: 0, failed: 0 })),
      environments: zeros(environments).map(() => ({ done: 0, failed: 0 })),
    }
    this.#committed = this.snapshot()
  }

  /** The totals as they are now, to be written and, once committed, shown. */
  snapshot(): TallySnapshot {
    return { totals: structuredClone(this.totals), retriedOn: [...this.retriedOn] }
  }

  commit(snapshot: TallySnapshot): void {
    this.#committed = snapshot
  }

  /** What clients are told of a capsule. What has ended and is not committed yet still counts as running. */
  capsule(step: number): { running: number; completed: number; failed: number } {
    const now = this.totals.capsules[step]
    const { completed, failed } = this.#committed.totals.capsules[step] ?? { completed: 0, failed: 0 }
    const uncommitted = (now?.completed ?? 0) - completed + (now?.failed ?? 0) - failed
    return { completed, failed, running: (this.running[step] ?? 0) + uncommitted }
  }

  /** What clients are told of an environment. */
  environment(index: number): { submitted: number; running: number; done: number; failed: number } {
    const now = this.totals.environments[index]
    const { done, failed } = this.#committed.totals.environments[index] ?? { done: 0, failed: 0 }
    // What waits again does not run as well.
    const retried = (this.retriedOn[index] ?? 0) - (this.#committed.retriedOn[index] ?? 0)
    const uncommitted = (now?.done ?? 0) - done + (now?.failed ?? 0) - failed - retried
    return {
      done,
      failed,
      submitted: this.submittedTo[index] ?? 0,
      running: (this.runningOn[index] ?? 0) + uncommitted,
    }
  }
}

/** Adds to one place of a list of counts. */
export function count(counts: number[], index: number, change: number): void {
  counts[index] = (counts[index] ?? 0) + change
}
