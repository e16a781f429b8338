import type { Attempt, AttemptSource } from './attempt-source.ts'

/** The executions that have work for one environment, in the order of their turns. */
export class SourceTurns {
  readonly #sources: AttemptSource[] = []

  add(source: AttemptSource): void {
    this.#sources.push(source)
  }

  remove(source: AttemptSource): void {
    const index = this.#sources.indexOf(source)
    if (index >= 0) this.#sources.splice(index, 1)
  }

  /** Takes at most so many, in turn, and of each source only its share: one large execution does not hold up others. */
  take(room: number): readonly Attempt[] {
    const taken: Attempt[] = []
    for (let round = this.#sources.length; round > 0 && taken.length < room; round -= 1) {
      const source = this.#sources.shift()
      if (source === undefined) break
      this.#sources.push(source)
      taken.push(...this.#takeInTurnOf(source, Math.ceil((room - taken.length) / round)))
    }
    return taken
  }

  /** What comes in the turn of a source: of those of its group first, which have a higher priority. */
  #takeInTurnOf(source: AttemptSource, share: number): readonly Attempt[] {
    const group = source.precedence?.group
    if (group === undefined) return source.take(share)
    const taken: Attempt[] = []
    const own = this.#sources
      .filter(({ precedence }) => precedence?.group === group)
      .toSorted((a, b) => (b.precedence?.priority ?? 0) - (a.precedence?.priority ?? 0))
    for (const each of own) {
      if (taken.length >= share) break
      taken.push(...each.take(share - taken.length))
    }
    return taken
  }
}
