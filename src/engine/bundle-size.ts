import type { Capabilities } from '../environment/environment.ts'

/** How many calls of a function go into one environment job where the script does not say (`.by(n)`). */
export interface BundleNeeds {
  /** Calls that could start now. */
  readonly waiting: number
  /** How long a call takes, in milliseconds; undefined until one has been made. */
  readonly callMs: number | undefined
  /** The limit for one call, in milliseconds; null without one. */
  readonly timeoutMs: number | null
  readonly capabilities: Capabilities
}

/** A job of so much work is worth its start: Node takes a tenth of a second, and a place in a queue seconds to minutes. */
const worthwhileMs = 20_000
/** Jobs of less work than this are not made for the sake of other slots. */
const leastMs = 2000
/** The environment's own limit for a job is the sum of those of its calls: no more than this, if there are several. */
const longestMs = 600_000
const mostCalls = 1000
/** Of a cluster nobody knows how many jobs it will run at once. */
const guessedSlots = 64

/**
 * Calls in one environment job: as many as make its start worthwhile, but no more than leaves work for every slot, and
 * no more than a limit for each call allows. One until it is known how long calls take.
 */
export function bundleSize({ waiting, callMs, timeoutMs, capabilities }: BundleNeeds): number {
  if (callMs === undefined) return 1
  const { slots = Math.min(guessedSlots, capabilities.maxActiveJobs) } = capabilities
  const callsIn = (ms: number): number => Math.ceil(ms / Math.max(callMs, 1))
  const fair = Math.max(Math.ceil(waiting / (2 * slots)), callsIn(leastMs))
  const bounded = timeoutMs === null ? mostCalls : Math.floor(longestMs / timeoutMs)
  return Math.max(1, Math.min(callsIn(worthwhileMs), fair, bounded, mostCalls))
}
