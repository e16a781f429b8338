/** A run, as far as it shares with others how many jobs may run. */
export interface SharingRun {
  /** Jobs that run, or that an environment has been given. */
  readonly busy: number
  /** Starts what there is room for. */
  wake(): void
}

/** How many jobs of one owner may run at the same time, in all his executions together. */
export class JobAllowance {
  readonly #limit: () => number
  readonly #runs = new Set<SharingRun>()
  /** Whether somebody was given less than he wanted. */
  #isShort = false
  /** How many ran when it was told last that they may have ended. */
  #lastBusy = 0

  /** @param limit asked each time: it may change */
  constructor(limit: () => number) {
    this.#limit = limit
  }

  add(run: SharingRun): void {
    this.#runs.add(run)
  }

  remove(run: SharingRun): void {
    this.#runs.delete(run)
    this.changed()
  }

  get isEmpty(): boolean {
    return this.#runs.size === 0
  }

  /** How many of the jobs that could start may start now. */
  grant(wanted: number): number {
    const limit = this.#limit()
    if (limit === Number.POSITIVE_INFINITY) return wanted
    const granted = Math.max(0, Math.min(wanted, limit - this.#busy))
    if (granted < wanted) this.#isShort = true
    return granted
  }

  /** Says that jobs may have ended: those of other executions that wait may start. */
  changed(): void {
    const busy = this.#busy
    const isLess = busy < this.#lastBusy
    this.#lastBusy = busy
    if (this.#isShort && isLess) this.lookAgain()
  }

  /** Says that the limit may be another one. */
  lookAgain(): void {
    this.#isShort = false
    for (const run of this.#runs) run.wake()
  }

  get #busy(): number {
    let busy = 0
    for (const run of this.#runs) busy += run.busy
    return busy
  }
}

/** The allowances of all owners. The operator has none: nothing of his is limited. */
export class JobAllowances {
  readonly #limitOf: (owner: string) => number
  readonly #allowances = new Map<string, JobAllowance>()

  constructor(limitOf: (owner: string) => number) {
    this.#limitOf = limitOf
  }

  of(owner: string): JobAllowance | undefined {
    if (owner === '') return undefined
    const known = this.#allowances.get(owner)
    if (known !== undefined) return known
    const made = new JobAllowance(() => this.#limitOf(owner))
    this.#allowances.set(owner, made)
    return made
  }

  /** Takes the run of an execution that has ended out. */
  left(owner: string, run: SharingRun): void {
    const allowance = this.#allowances.get(owner)
    allowance?.remove(run)
    if (allowance?.isEmpty === true) this.#allowances.delete(owner)
  }

  /** Says that the limit of an owner may be another one. */
  lookAgain(owner: string): void {
    this.#allowances.get(owner)?.lookAgain()
  }
}
