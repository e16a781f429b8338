/** Owns promises that nobody awaits: a failure is told, and closing can wait for all. */
export class BackgroundWork {
  readonly #failed: (error: unknown) => void
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(failed: (error: unknown) => void) {
    this.#failed = failed
  }

  own(work: Promise<unknown>): void {
    const owned: Promise<unknown> = work.catch(this.#failed).finally(() => this.#underWay.delete(owned))
    this.#underWay.add(owned)
  }

  /** Resolves when all that is owned now is over. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay)
  }
}
