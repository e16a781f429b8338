import { setTimeout as pause } from 'node:timers/promises'

/** Time as a parameter. */
export interface Clock {
  /** In ms since 1970. */
  now(): number
  /** Rejects when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>
}

/** A clock whose time passes by itself. */
export function clockOf(now: () => number): Clock {
  return { now, wait: (ms, signal) => pause(ms, undefined, { signal }) }
}

const [shortestMs, longestMs] = [1000, 30_000]

/** How long to wait after so many failures in a row: 1 s, twice as much each time, at most 30 s. */
export function backOffMs(failures: number): number {
  return Math.min(longestMs, shortestMs * 2 ** Math.min(Math.max(failures, 1) - 1, 10))
}
