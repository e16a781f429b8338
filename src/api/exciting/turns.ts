/** Lets changes of the same thing wait for each other. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Does `action` when all that was begun before under this name is over, however it ended. */
  async take<Result>(name: string, action: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(name) ?? Promise.resolve()
    const own = before.then(action, action)
    this.#last.set(name, own)
    try {
      return await own
    } finally {
      if (this.#last.get(name) === own) this.#last.delete(name)
    }
  }
}
