import type { HostPriority } from '../host.ts'

const order: readonly HostPriority[] = ['urgent', 'normal', 'background']

interface Waiting {
  readonly rank: number
  readonly begin: () => void
}

/** Lets a few in at a time; of those who wait, the most urgent first and then the one who came first. */
export class Turns {
  #free: number
  #waiting: Waiting[] = []

  constructor(count: number) {
    this.#free = count
  }

  /** Waits for a turn; the caller gives it back by calling what it gets. Throws the signal's reason. */
  async take(priority: HostPriority, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(order.indexOf(priority), signal)
    let isGiven = false
    return () => {
      if (isGiven) return
      isGiven = true
      this.#give()
    }
  }

  #wait(rank: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        rank,
        begin: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        },
      }
      const leave = () => {
        this.#waiting = this.#waiting.filter((each) => each !== waiting)
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', leave, { once: true })
      const behind = this.#waiting.findIndex((each) => each.rank > rank)
      this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, waiting)
    })
  }

  #give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next.begin()
  }
}
