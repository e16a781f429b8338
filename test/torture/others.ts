import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { medianOf, quantileOf } from './figures.ts'
import type { Life, TortureClient } from './server.ts'

/** An answer after more than this is too late. */
export const slowMs = 5000
const probeEveryMs = 50

/** A client that does nothing wrong, and asks for a state every now and then while others misbehave. */
export class Others {
  phase = 'nothing'
  failed = 0
  slow = 0
  readonly faults: string[] = []
  readonly #waits = new Map<string, number[]>()
  readonly #over: Promise<void>
  #isOver = false

  constructor(life: Life, client: TortureClient, id: string) {
    this.#over = this.#ask(life, client, id)
  }

  async end(): Promise<readonly { readonly phase: string; readonly ms: string }[]> {
    this.#isOver = true
    await this.#over
    return [...this.#waits].map(([phase, waits]) => ({
      phase,
      ms: [medianOf(waits), quantileOf(waits, 0.99), Math.max(...waits)].map(Math.round).join(', '),
    }))
  }

  async #ask(life: Life, client: TortureClient, id: string): Promise<void> {
    while (!this.#isOver) {
      const { phase } = this
      const began = performance.now()
      try {
        const { status } = await client.state(life, id)
        if (status !== 200) throw new Error(`/state answered ${status}`)
      } catch (error) {
        this.failed += 1
        this.faults.push(`${phase}: ${describeError(error)}`)
      }
      const ms = performance.now() - began
      if (ms > slowMs) this.slow += 1
      this.#waits.set(phase, [...(this.#waits.get(phase) ?? []), ms])
      await delay(probeEveryMs)
    }
  }
}

/** An error with what caused it: that of a request says by itself only that it failed. */
export function describeError(error: unknown): string {
  return error instanceof Error && error.cause !== undefined
    ? `${String(error)} (${inspect(error.cause)})`
    : String(error)
}
