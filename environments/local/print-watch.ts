const intervalMs = 250

/** Looks at the jobs that run, as long as any do, whether they print too much. Short jobs cost nothing. */
export class PrintWatch {
  readonly #jobs: () => Iterable<{ checkPrinted(): void }>
  #timer: NodeJS.Timeout | undefined

  constructor(jobs: () => Iterable<{ checkPrinted(): void }>) {
    this.#jobs = jobs
  }

  /** Says that a job runs now. */
  begin(): void {
    this.#timer ??= setInterval(() => this.#look(), intervalMs)
  }

  #look(): void {
    let count = 0
    for (const job of this.#jobs()) {
      count += 1
      job.checkPrinted()
    }
    if (count > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
