import type { JobRequest } from '../../src/environment/environment.ts'

/** Long enough that fetching and reporting cost little, short enough that a lost host loses little. */
const targetMs = 600_000
const largestBundle = 500
/** Jobs for each processor that are filed while nobody knows how long one takes. */
const jobsPerCpu = 4
const fewestJobs = 100

export interface BundleNeeds {
  /** Fixed by `by`. */
  readonly fixed: number | undefined
  /** How long a job takes on average; undefined until the first has ended. */
  readonly jobMs: number | undefined
  /** Jobs to be bundled. */
  readonly waiting: number
  /** Processors of the hosts that were heard lately. */
  readonly hostCpus: number
}

/** How many jobs go into one workunit: as many as are short, but not so many that hosts would be left without. */
export function bundleSize({ fixed, jobMs, waiting, hostCpus }: BundleNeeds): number {
  if (fixed !== undefined) return fixed
  if (jobMs === undefined) return 1
  const byTime = Math.floor(targetMs / Math.max(jobMs, targetMs / largestBundle))
  return Math.max(1, Math.min(byTime, Math.ceil(waiting / Math.max(1, hostCpus))))
}

/** How many jobs may be open before it is known how long one takes: enough for every host to be busy. */
export function openJobsAtFirst(hostCpus: number): number {
  return Math.max(fewestJobs, jobsPerCpu * hostCpus)
}

/** Jobs that may go together: of one execution, with the same needs and the same programs. */
export function groupAlike(requests: readonly JobRequest[]): readonly (readonly JobRequest[])[] {
  const groups = new Map<string, JobRequest[]>()
  for (const request of requests) {
    const { workDirectory, linksWithin, resources, shared = [], hasComparison = false } = request
    const { cpus, memoryBytes, wallTimeMs } = resources
    const key = JSON.stringify([
      workDirectory,
      linksWithin,
      cpus,
      memoryBytes,
      wallTimeMs,
      shared,
      hasComparison,
    ])
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [request])
    else group.push(request)
  }
  return [...groups.values()]
}

/** Slices of at most `size`. */
export function slices<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
}
