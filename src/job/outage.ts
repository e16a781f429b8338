import { messageOf } from '../problem.ts'
/** Whether an environment gives answers, and if not, since when and why. */
export class Outage {
  readonly #now: () => number
  readonly #warn: (message: string) => void
  #reason: string | undefined
  #since = 0

  constructor(now: () => number, warn: (message: string) => void) {
    this.#now = now
    this.#warn = warn
  }

  /** Undefined while it answers. */
  get reason(): string | undefined {
    return this.#reason
  }

  get forMs(): number {
    return this.#reason === undefined ? 0 : this.#now() - this.#since
  }

  /** It could not be asked. Told to people when the reason is another one. */
  note(error: unknown): void {
    const reason = `it gives no answer: ${messageOf(error)}`
    if (this.#reason === undefined) this.#since = this.#now()
    if (reason !== this.#reason) this.#warn(reason)
    this.#reason = reason
  }

  /** It answers. True when it did not before. */
  end(): boolean {
    const wasOut = this.#reason !== undefined
    this.#reason = undefined
    return wasOut
  }
}
