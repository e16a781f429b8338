import type { PlanCapsule } from '../workflow/plan.ts'

/** Of a place that does not tell its slots, so many may wait there before it has shown that it runs any. */
const leastWaiting = 4

/** An environment that could take jobs of a capsule. */
export interface Asking {
  readonly capsule: Pick<PlanCapsule, 'environments' | 'groupSize'>
  readonly environment: number
  /** How many of its jobs run at the same time, where that is known. */
  readonly slots: number | undefined
  /** Jobs of the capsule that could start now and that no environment has. */
  readonly waiting: number
}

/** What an environment has been given. */
export interface Given {
  readonly capsule: Asking['capsule']
  readonly environment: number
  readonly jobs: readonly unknown[]
  readonly isRunning: boolean
}

/**
 * How many more jobs of a capsule an environment may be given now. Where the capsule has several environments, as many
 * may wait on one of them as it has slots, so that none is idle, or a part of what is left, so that short jobs need not
 * be brought one by one. The rest stays with the server for whichever environment has room first.
 */
export function shareOf(
  { capsule, environment, slots = leastWaiting, waiting }: Asking,
  given: Iterable<Given>,
): number {
  const { environments, groupSize } = capsule
  if (environments.length === 1) return Infinity
  let left = waiting
  let here = 0
  for (const each of given) {
    if (each.capsule !== capsule || each.isRunning) continue
    left += each.jobs.length
    if (each.environment === environment) here += each.jobs.length
  }
  return Math.max(slots * groupSize, Math.ceil(left / (2 * environments.length))) - here
}
