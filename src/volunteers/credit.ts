/** Credit as BOINC counts it: 200 for a day of a processor with a thousand million operations a second. */
const operationsPerCredit = (86_400 * 1e9) / 200
const dayMs = 86_400_000
const halfLifeMs = 7 * dayMs

/** A host says itself how fast it is: no processor of today does more operations a second. */
const flopsAtMost = 1e12

/** @param cpuSeconds as the host says; more than were possible since it got the work do not count */
export function creditOf(cpuSeconds: number, flops: number, possibleCpuSeconds: number): number {
  const seconds = Math.max(0, Math.min(cpuSeconds, possibleCpuSeconds))
  return (seconds * Math.max(0, Math.min(flops, flopsAtMost))) / operationsPerCredit
}

export interface Credit {
  readonly total: number
  /** Credit a day, of which half is forgotten in a week. */
  readonly average: number
  /** When `average` was right; 0 before the first credit. */
  readonly averageAt: number
}

export function withCredit(credit: Credit, granted: number, now: number): Credit {
  const elapsedMs = Math.max(0, now - credit.averageAt)
  const decay = credit.averageAt === 0 ? 0 : Math.exp((-Math.LN2 * elapsedMs) / halfLifeMs)
  // What share of the average a credit is that came over the time since the last one; its limit for no time at all.
  const share =
    1 - decay > 1e-6 && credit.averageAt !== 0
      ? ((1 - decay) * dayMs) / elapsedMs
      : (Math.LN2 * dayMs) / halfLifeMs
  return {
    total: credit.total + granted,
    average: credit.average * decay + granted * share,
    averageAt: now,
  }
}
