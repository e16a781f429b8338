/**
 * How many jobs go in one submission. Limits of clusters on arrays and on the jobs of a user are told by refusals only:
 * after one half as many are tried, and twice as many after each that is taken.
 */
export class BatchSize {
  #most: number
  #now: number

  constructor(most: number) {
    this.#most = most
    this.#now = most
  }

  get now(): number {
    return this.#now
  }

  /** Whether nothing speaks against the most that there may be. */
  get isFull(): boolean {
    return this.#now === this.#most
  }

  /** So many were not taken now. */
  deferred(size: number): void {
    this.#now = halfOf(Math.min(this.#now, size))
  }

  /** So many will never be taken together. */
  refused(size: number): void {
    this.#most = halfOf(Math.min(this.#most, size))
    this.#now = this.#most
  }

  /** So many were taken. */
  taken(size: number): void {
    if (size >= this.#now) this.#now = Math.min(this.#most, this.#now * 2)
  }
}

function halfOf(size: number): number {
  return Math.max(1, Math.floor(size / 2))
}
