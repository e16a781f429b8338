/** When hosts are to come again: soon while there is work, seldom when there is none, never more than can be answered. */

export interface Rush {
  readonly isWorkWaiting: boolean
  /** How long no work has been waiting. */
  readonly idleMs: number
  /** Hosts that were here lately. */
  readonly activeHosts: number
}

/** How many requests a second are asked for at most, by spreading the hosts over time. */
const requestsPerSecond = 200
const shortest = { request: 2, next: 5 }
const longest = { request: 3600, waiting: 600, idle: 300 }
const spread = 0.2

/**
 * Seconds after which a host comes by itself.
 *
 * @param random 0 to 1, so that hosts that came together do not come together again
 */
export function nextRequestSeconds({ isWorkWaiting, idleMs, activeHosts }: Rush, random: number): number {
  const spaced = Math.min(longest.waiting, activeHosts / requestsPerSecond)
  const patient = isWorkWaiting ? shortest.next : Math.min(longest.idle, Math.max(15, idleMs / 10_000))
  const seconds = Math.max(shortest.next, spaced, patient)
  return Math.round(seconds * (1 + spread * random))
}

/**
 * Seconds before which it must not come.
 *
 * @param haste how often in a row it came before it should have
 */
export function requestDelaySeconds(haste: number): number {
  return Math.min(longest.request, shortest.request * 2 ** Math.min(haste, 12))
}

/** Whether a request came clearly before its time: clocks and roundings differ by a second. */
export function isHasty(now: number, earliestContact: number): boolean {
  return now + 1000 < earliestContact
}
