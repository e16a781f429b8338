/**
 * How many copies a day a host gets for each processor, by what came of those before: half of it after each failure,
 * twice as many after each success. So a broken host cannot eat a batch, and a good one soon has no bound that matters.
 */

export const firstQuota = 64
const mostQuota = 65_536
const dayMs = 86_400_000

export function quotaAfter(quota: number, outcome: 'success' | 'failure'): number {
  return outcome === 'success' ? Math.min(mostQuota, quota * 2) : Math.max(1, Math.floor(quota / 2))
}

export interface DailyCount {
  readonly quota: number
  readonly quotaDay: number
  readonly sentToday: number
}

export function dayOf(now: number): number {
  return Math.floor(now / dayMs)
}

/** Copies that it may get today still. */
export function quotaLeft({ quota, quotaDay, sentToday }: DailyCount, cpus: number, now: number): number {
  return Math.max(0, quota * Math.max(1, cpus) - (quotaDay === dayOf(now) ? sentToday : 0))
}
