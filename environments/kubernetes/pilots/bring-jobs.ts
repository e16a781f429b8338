import { setTimeout as pause } from 'node:timers/promises'
import { EnvironmentError, type JobId } from '../../../src/environment/environment.ts'
import { FileChangedError } from '../../../src/environment/job-files/tar-stream.ts'
import type { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { backOffMs } from '../cluster/clock.ts'
import { messageOf } from '../../../src/problem.ts'
import { notUnpacked } from '../files/staging.ts'
import type { KubernetesOptions } from '../options.ts'
import type { KeptRequests } from '../pods/kept-requests.ts'
import { deliveryOf } from './delivery.ts'
import type { PilotJobs } from './jobs.ts'
import type { PilotLink } from './link.ts'

export interface BringParts {
  readonly jobs: PilotJobs
  readonly options: KubernetesOptions
  readonly requests: KeptRequests
  readonly trees: WorkTrees
  readonly newMark: () => string
  readonly warn: (message: string) => void
}

/** How often files are brought that change while they are read, or for which the pilot has no room. */
const mostTries = 5

/**
 * Brings the files of jobs that are on their way to a pilot, as often as that takes. Afterwards each of them is there, waits
 * again or has ended; what was cancelled or released meanwhile is told to the pilot.
 */
export async function bringJobs(
  { jobs, requests, trees, options, newMark, warn }: BringParts,
  link: PilotLink,
  ids: readonly JobId[],
  signal: AbortSignal,
): Promise<void> {
  const { uid, name: pod } = link.pod
  const isGoing = (id: JobId): boolean => jobs.get(id)?.pilot === uid && jobs.get(id)?.stage === 'going'
  const name = newMark().toLowerCase()
  await Promise.all(ids.map((id) => requests.serve(id, `${uid} ${pod}`)))
  for (let failures = 0; ;) {
    const going = ids.filter(isGoing)
    const sent = going.flatMap((id) => {
      const request = requests.read(id)
      return request === undefined ? [] : [{ request, slots: jobs.get(id)?.slots ?? 1 }]
    })
    if (sent.length === 0 || link.signal.aborted) return
    try {
      const delivery = await deliveryOf(sent, { has: (hash) => link.has(hash), trees, options }, signal)
      for (const [id, message] of delivery.unreadable)
        jobs.stop(id, { kind: 'stopped', cause: 'unknown', message })
      if (delivery.unreadable.size === sent.length) return
      link.use(delivery.contents)
      const isTaken = await link.deliver(delivery, name)
      if (isTaken) {
        link.keep(delivery.contents)
        for (const id of going) jobs.arrived(id, uid)
      } else {
        link.isClosed = true
        // An earlier try may have arrived: its list tells.
        for (const id of going.toReversed())
          if (failures === 0) jobs.back(id)
          else jobs.arrived(id, uid)
        if (failures > 0) link.relist()
      }
      break
    } catch (error) {
      if (signal.aborted || link.signal.aborted) return
      failures += 1
      const isOfCluster = error instanceof ApiError || error instanceof EnvironmentError
      if (!isOfCluster || error instanceof FileChangedError) trees.forgetAll()
      const isOurs = !isOfCluster || (error instanceof ApiError && error.reason === notUnpacked)
      if (isOurs && failures >= mostTries) {
        const message = `Its files could not be brought in ${mostTries} tries: ${messageOf(error)}`
        for (const id of going) jobs.stop(id, { kind: 'stopped', cause: 'unknown', message })
        link.release(going)
        return
      }
      if (failures === 2) warn(`Files of jobs did not come to the pod ${pod}: ${messageOf(error)}`)
      await pause(backOffMs(failures), undefined, { signal: link.signal }).catch(() => undefined)
    }
  }
  const late = ids.filter((id) => jobs.get(id)?.isCancelled === true)
  if (late.length > 0) await link.cancel(late, link.signal)
  const released = ids.filter((id) => jobs.get(id) === undefined)
  if (released.length > 0) link.release(released)
}
