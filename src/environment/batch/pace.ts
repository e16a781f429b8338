import { setTimeout as delay } from 'node:timers/promises'

/** Lets no more than `perMinute` pass in any minute: each call waits for its turn. */
export class Pace {
  readonly #perMinute: number
  readonly #now: () => number
  /** When the last ones passed or will pass. */
  #times: number[] = []

  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute
    this.#now = now
  }

  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const now = this.#now()
    const first = this.#times.length < this.#perMinute ? now : this.#times[0]! + 60_000
    const at = Math.max(now, first)
    this.#times = [...this.#times, at].slice(-this.#perMinute)
    if (at > now) await delay(at - now, undefined, { signal })
  }
}
