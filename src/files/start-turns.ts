/**
 * Lets few processes start at once. A start blocks the server for a moment, and takes a processor for longer: fifty of
 * them in one turn would keep everybody else waiting. Who waits has a connection of its own, so that the number of
 * connections bounds the queue.
 */
export class StartTurns {
  readonly #waiting = new Set<() => void>()
  #free: number

  constructor(most: number) {
    this.#free = most
  }

  /**
   * Waits for a turn, first come, first served. Gives the function that ends the turn, which may be called again.
   * Throws the reason of the signal; then the turn is somebody else's.
   */
  async take(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(signal)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#passOn()
    }
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = (): void => {
      this.#waiting.delete(resolve)
      reject(signal?.reason)
    }
    this.#waiting.add(resolve)
    signal?.addEventListener('abort', leave, { once: true })
    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }

  #passOn(): void {
    const [first] = this.#waiting
    if (first === undefined) this.#free += 1
    else {
      this.#waiting.delete(first)
      first()
    }
  }
}
