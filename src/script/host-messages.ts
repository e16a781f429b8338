import { z } from 'zod'
import type { ScriptSource } from './contract.ts'

/** What the server tells the process of the function host. */
export type ToHost =
  | {
      readonly kind: 'start'
      readonly source: ScriptSource
      readonly threads: number
      readonly memoryBytes: number | null
    }
  /** With the calls as JSON behind it; see `encodeJson`. */
  | {
      readonly kind: 'run'
      readonly batch: number
      readonly functionName: string
      readonly count: number
      readonly timeoutMs: number | null
    }
  | { readonly kind: 'abort'; readonly batch: number }

/** What it answers. User code could write there as well, so it is checked. */
export const fromHost = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready') }),
  /** With the outcomes behind it in the order of the calls: JSON, a comma after each. */
  z.object({ kind: z.literal('outcomes'), batch: z.number() }),
  /** All outcomes were told, or the batch was aborted. */
  z.object({ kind: z.literal('done'), batch: z.number() }),
  z.object({ kind: z.literal('warning'), message: z.string() }),
])

export type FromHost = z.infer<typeof fromHost>

/** What a worker of the host gets: calls of one function from `from` on. */
export interface WorkerTask {
  readonly memory: SharedArrayBuffer
  readonly functionName: string
  readonly calls: string
  readonly from: number
}

/** How a worker ended a task. */
export type WorkerEnd =
  /** All calls, or as many as the slot takes, have their outcomes. `overflow` is one more, which the slot had no room for. */
  | { readonly kind: 'finished'; readonly overflow: string | null }
  /** No call was made. */
  | { readonly kind: 'unavailable'; readonly message: string; readonly stack: string }
