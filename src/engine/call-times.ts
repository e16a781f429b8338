import type { PlanTask } from '../workflow/plan.ts'

/** So many jobs with calls of unknown length are under way at the same time. */
const mostProbes = 16
/** Calls that have not ended after this are taken for long ones. */
const longCallMs = 20_000

/** How long the functions of an execution take, as far as environments have told. */
export class CallTimes {
  readonly #known = new Map<PlanTask, number>()
  readonly #probes = new Map<PlanTask, number>()
  readonly #timers = new Map<PlanTask, NodeJS.Timeout>()
  readonly #learned: () => void

  /** @param learned called when a function is taken for a long one, so that more of its calls may start */
  constructor(learned: () => void) {
    this.#learned = learned
  }

  /** Milliseconds a call; undefined until one has ended or has taken long. */
  of(task: PlanTask): number | undefined {
    return this.#known.get(task)
  }

  /** Whether no more calls may start before it is known how long they take. */
  isEnough(task: PlanTask): boolean {
    return !this.#known.has(task) && (this.#probes.get(task) ?? 0) >= mostProbes
  }

  /** A job with calls of the function was made. */
  made(task: PlanTask): void {
    if (!this.#known.has(task)) this.#probes.set(task, (this.#probes.get(task) ?? 0) + 1)
  }

  /** A job with calls of the function runs. */
  running(task: PlanTask): void {
    if (this.#known.has(task) || this.#timers.has(task)) return
    const timer = setTimeout(() => {
      if (this.#known.has(task)) return
      this.note(task, longCallMs)
      this.#learned()
    }, longCallMs)
    timer.unref()
    this.#timers.set(task, timer)
  }

  /** A job has ended, whose calls took so long on average. Without that, another one may find out. */
  note(task: PlanTask, callMs: number | undefined): void {
    if (callMs !== undefined) this.#known.set(task, callMs)
    this.#probes.set(task, Math.max(0, (this.#probes.get(task) ?? 0) - 1))
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }
}
