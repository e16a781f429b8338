import { setTimeout as delay } from 'node:timers/promises'
import type { Environment, JobHandle } from '../environment/environment.ts'

/** Something to be done on an environment that nobody waits for any more. */
export type Chore =
  /** Attempts whose execution goes on or ends without them. */
  | { readonly kind: 'end'; readonly handles: readonly JobHandle[] }
  /** What was put there for an execution that is over. */
  | { readonly kind: 'discard'; readonly workDirectory: string }

/** Where chores outlive the server. */
export interface ChoreStore {
  load(): Promise<readonly Chore[]>
  save(chores: readonly Chore[]): Promise<void>
}

const longestWaitMs = 60_000

/** The chores of one environment: done in order; those that fail are kept, and tried again after the others. */
export class Chores {
  readonly #environment: Environment
  readonly #store: ChoreStore
  readonly #signal: AbortSignal
  readonly #warn: (message: string) => void
  #chores: Chore[] = []
  #saving: Promise<void> = Promise.resolve()
  #working: Promise<void>
  #isWorking = true

  constructor(
    environment: Environment,
    options: { store: ChoreStore; signal: AbortSignal; warn: (message: string) => void },
  ) {
    this.#environment = environment
    this.#store = options.store
    this.#signal = options.signal
    this.#warn = options.warn
    this.#working = this.#begin()
  }

  /** How many are left. */
  get left(): number {
    return this.#chores.length
  }

  /** Resolves when the chore has been done once, or is safely kept for later. */
  async add(chore: Chore): Promise<void> {
    this.#chores.push(chore)
    await this.#save()
    if (!this.#isWorking) {
      this.#isWorking = true
      this.#working = this.#work()
    }
  }

  /** Resolves when nobody works on chores any more; the signal must have been aborted. */
  async closed(): Promise<void> {
    await this.#working
    await this.#saving
  }

  async #begin(): Promise<void> {
    try {
      this.#chores.unshift(...(await this.#store.load()))
    } catch (error) {
      this.#warn(`What is left to do on it cannot be read: ${String(error)}`)
    }
    await this.#work()
  }

  async #work(): Promise<void> {
    let failures = 0
    for (let chore = this.#chores[0]; chore !== undefined; chore = this.#chores[0]) {
      if (this.#signal.aborted) break
      try {
        await this.#do(chore)
        this.#chores.shift()
        await this.#save()
        failures = 0
      } catch (error) {
        if (this.#signal.aborted) break
        if (failures === 0) this.#warn(`It cannot be tidied up yet, and will be later: ${String(error)}`)
        failures += 1
        // The others may be possible.
        this.#chores.push(...this.#chores.splice(0, 1))
        await delay(Math.min(longestWaitMs, 2000 * 2 ** failures), undefined, {
          signal: this.#signal,
          ref: false,
        }).catch(() => undefined)
      }
    }
    this.#isWorking = false
  }

  async #do(chore: Chore): Promise<void> {
    if (chore.kind === 'discard') return this.#environment.discard?.(chore.workDirectory, this.#signal)
    await this.#environment.cancel(chore.handles, this.#signal)
    await this.#environment.release(chore.handles, this.#signal)
  }

  /** One write after the other, each with all that is known then. */
  async #save(): Promise<void> {
    this.#saving = this.#saving
      .then(async () => this.#store.save(this.#chores))
      .catch((error: unknown) => this.#warn(`What is left to do on it cannot be kept: ${String(error)}`))
    await this.#saving
  }
}
