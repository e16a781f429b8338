import { createHash } from 'node:crypto'
import type { JobRequest, Resources } from '../environment.ts'
import { executionPath, keyOf } from '../job-files/places.ts'

/** Jobs that go to the scheduler in one submission: of one execution, with the same resources. */
export interface PlannedBatch {
  readonly name: string
  /** Stands for the execution. */
  readonly key: string
  readonly requests: readonly JobRequest[]
  readonly resources: Resources
}

/** Groups requests, in their order; each batch holds at most `sizeAtMost`. */
export function planBatches(
  requests: readonly JobRequest[],
  sizeAtMost: number,
  defaults: Resources,
): readonly PlannedBatch[] {
  const groups = new Map<string, { key: string; resources: Resources; requests: JobRequest[] }>()
  for (const request of requests) {
    const key = keyOf(request.workDirectory)
    const resources = { ...defaults, ...definedOf(request.resources) }
    const name = JSON.stringify([
      key,
      Object.entries(resources).sort(([one], [other]) => (one < other ? -1 : 1)),
    ])
    const group = groups.get(name)
    if (group === undefined) groups.set(name, { key, resources, requests: [request] })
    else group.requests.push(request)
  }
  return [...groups.values()].flatMap(({ key, resources, requests: all }) => {
    const batches: PlannedBatch[] = []
    for (let at = 0; at < all.length; at += sizeAtMost) {
      const some = all.slice(at, at + sizeAtMost)
      batches.push({ name: batchName(some), key, resources, requests: some })
    }
    return batches
  })
}

/** Always the same for the same jobs. Short: some schedulers take no more than 15 characters. */
export function batchName(requests: readonly Pick<JobRequest, 'id'>[]): string {
  const ids = requests.map(({ id }) => id).join(' ')
  return `m${createHash('sha256').update(ids).digest('hex').slice(0, 14)}`
}

/** Below the base directory. */
export function batchPath({ key, name }: Pick<PlannedBatch, 'key' | 'name'>): string {
  return `${executionPath(key)}/batches/${name}`
}

function definedOf(resources: Resources): Resources {
  return Object.fromEntries(Object.entries(resources).filter(([, amount]) => amount !== undefined))
}
