import { EnvironmentError } from '../../src/environment/environment.ts'
import type { JobBoxes, JobLimits } from '../../src/environment/plugin.ts'
import { Guard } from './guard.ts'
import { Launcher } from './launcher.ts'

export interface LaunchersOptions {
  readonly count: number
  /** Directory of the job directories. */
  readonly directory: string
  readonly variables: Readonly<Record<string, string>>
  readonly boxes?: JobBoxes
  readonly limits: JobLimits
  readonly newSecret: () => string
  readonly warn: (message: string) => void
  /** A launcher became free without having been given back. */
  readonly freed: () => void
  /** A launcher is gone; what it ran is lost. */
  readonly gone: (launcher: Launcher, message: string) => void
}

/** The launcher shells of one environment and the guard that ends them if the server is killed. */
export class Launchers {
  readonly #options: LaunchersOptions
  readonly #all = new Set<Launcher>()
  readonly #free: Launcher[] = []
  #guard: Guard | undefined
  #isClosed = false

  constructor(options: LaunchersOptions) {
    this.#options = options
  }

  /** Process ids of the shells, the guard's last. */
  get pids(): readonly number[] {
    return [...this.#all, this.#guard].flatMap((shell) => shell?.pid ?? [])
  }

  /** All shells are there, so that `fill` has nothing to do. */
  get isFull(): boolean {
    return this.#all.size === this.#options.count && this.#guard !== undefined
  }

  /** Starts the shells that are missing. Throws EnvironmentError where no launcher can be had. */
  async fill(): Promise<void> {
    this.#guard ??= this.#startGuard()
    const missing = this.#options.count - this.#all.size
    const started = Array.from({ length: missing }, () => this.#start())
    const results = await Promise.allSettled(started.map((launcher) => launcher.ready))
    const failure = results.find((result) => result.status === 'rejected')
    if (this.#all.size === 0 && failure !== undefined)
      throw new EnvironmentError(
        `Jobs on this computer are started by bash 5.0 or newer, with job control. It cannot be used: ${String(failure.reason)}`,
      )
  }

  /** A launcher for one job, or undefined when all are busy. */
  take(): Launcher | undefined {
    return this.#free.pop()
  }

  give(launcher: Launcher): void {
    this.#free.push(launcher)
  }

  /** Ends the idle shells. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    await Promise.all(Array.from(this.#all, (launcher) => launcher.end(graceMs)))
    await this.#guard?.end(graceMs)
  }

  #start(): Launcher {
    const launcher = new Launcher({
      directory: this.#options.directory,
      variables: this.#options.variables,
      ...(this.#options.boxes !== undefined && { boxes: this.#options.boxes }),
      limits: this.#options.limits,
      secret: this.#options.newSecret(),
      gone: (gone, message) => this.#remove(gone, message),
    })
    this.#all.add(launcher)
    this.#guard?.watch(launcher.pid)
    void this.#offer(launcher)
    return launcher
  }

  async #offer(launcher: Launcher): Promise<void> {
    try {
      await launcher.ready
    } catch {
      // Told by `fill`, or by `gone`.
      return
    }
    this.#free.push(launcher)
    this.#options.freed()
  }

  #remove(launcher: Launcher, message: string): void {
    this.#all.delete(launcher)
    this.#guard?.forget(launcher.pid)
    const index = this.#free.indexOf(launcher)
    if (index >= 0) this.#free.splice(index, 1)
    if (this.#isClosed) return
    this.#options.gone(launcher, message)
    void this.#replace(launcher, message)
  }

  async #replace(gone: Launcher, message: string): Promise<void> {
    try {
      await gone.ready
    } catch {
      // One that never became ready would fail again: `fill` tries when somebody asks.
      return
    }
    if (this.#isClosed) return
    this.#options.warn(`${message} A new one takes its place.`)
    this.#start()
  }

  #startGuard(): Guard {
    const guard = new Guard(this.#options.variables, () => {
      if (this.#isClosed) return
      // Not at once: a guard that cannot live would be started without end.
      this.#guard = undefined
      this.#options.warn('The guard of the launcher shells ended; a new one is started with the next jobs.')
    })
    for (const launcher of this.#all) guard.watch(launcher.pid)
    return guard
  }
}
