import { Problem } from '../problem.ts'
import type { StartRequest } from './contract.ts'
import type { ExecutionIndex } from './execution-index.ts'

/** Lets a start that is sent again lead to the same execution: `Idempotency-Key` of the API. */
export class StartKeys {
  readonly #index: ExecutionIndex
  readonly #now: () => number
  readonly #atWork = new Set<string>()

  constructor(index: ExecutionIndex, now: () => number) {
    this.#index = index
    this.#now = now
  }

  /** Starts, unless the key of the request has led to an execution before. Throws Problem idempotency-…. */
  async once(idempotency: StartRequest['idempotency'], start: () => Promise<string>): Promise<string> {
    if (idempotency === undefined) return start()
    const { key, digest } = idempotency
    const known = this.#index.findStart(key, this.#now())
    if (known?.digest === digest) return known.execution
    if (known !== undefined)
      throw new Problem('idempotency-conflict', 'This Idempotency-Key was used for another start.', {
        hint: 'Choose a new key for a new start.',
      })
    if (this.#atWork.has(key))
      throw new Problem('idempotency-busy', 'The first start with this Idempotency-Key is still at work.', {
        retryAfterSeconds: 1,
      })
    this.#atWork.add(key)
    try {
      return await start()
    } finally {
      this.#atWork.delete(key)
    }
  }
}
