import type { CollectedFiles, JobRequest } from '../../../src/environment/environment.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import { ApiError } from '../cluster/api-errors.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { fetchLogs } from './fetch-logs.ts'
import { jobName } from '../pods/names.ts'
import { lossOf } from '../pods/observe.ts'
import { isKeeping } from '../pods/pod-states.ts'
import { fetchOutputs, notPacked, packingInPod, type FetchPlaces, type Packing } from './staging.ts'
import type { Volume } from './volume.ts'
import type { WirePod } from '../cluster/wire.ts'

const tooLate = 'It had ended, but its outputs are no longer in the cluster.'

export interface CollectionParts {
  readonly cluster: Cluster
  readonly volume: Volume | undefined
  readonly newMark: () => string
  /** Whether the account may do without the right to exec: then there are no outputs. */
  readonly isExecOptional: boolean
}

/** What there is of a job that has ended: outputs from its pod or its claim, else what Kubernetes has of its log. */
export async function collectJob(
  pod: WirePod | undefined,
  request: JobRequest | undefined,
  places: FetchPlaces,
  { cluster, volume, newMark, isExecOptional }: CollectionParts,
  signal: AbortSignal,
): Promise<CollectedFiles> {
  const outputs = request?.outputs ?? []
  const name = pod?.metadata?.name
  const missing = outputs.filter(({ optional }) => optional !== true).map(({ path }) => path)
  const fetch = (pack: Packing) => fetchOutputs({ outputs }, places, newMark(), pack)
  try {
    if (pod !== undefined && name !== undefined && isKeeping(pod))
      try {
        return await fetch(packingInPod(cluster, name, outputs, signal))
      } catch (error) {
        // The pod may have left them in the claim and ended since the API server last heard of it.
        const left = hasFailedToPack(error) ? undefined : await leftInClaim(request, volume, signal)
        if (left === undefined) throw error
        return await fetch(left)
      }
    const left = await leftInClaim(request, volume, signal)
    if (left !== undefined) return await fetch(left)
    const kept = await fetchLogs(cluster, name, places.logs, signal)
    // Nobody can say any more what the job has made.
    const lost = (pod && lossOf(pod)) ?? (missing.length > 0 ? tooLate : undefined)
    return { files: [], missing, ...kept, ...(lost !== undefined && { lost }) }
  } catch (error) {
    if (isExecOptional && error instanceof ApiError && error.status === 403) {
      const kept = await fetchLogs(cluster, name, places.logs, signal)
      return { files: [], missing, ...kept, remark: `Its outputs stay in its pod: ${error.message}` }
    }
    if (!hasFailedToPack(error)) throw error
    // It would go wrong again: the job has ended, and nothing in its pod changes.
    const kept = await fetchLogs(cluster, name, places.logs, signal)
    return { files: [], missing, ...kept, remark: error.message }
  }
}

function hasFailedToPack(error: unknown): error is ApiError {
  return error instanceof ApiError && error.reason === notPacked
}

async function leftInClaim(
  request: JobRequest | undefined,
  volume: Volume | undefined,
  signal: AbortSignal,
): Promise<Packing | undefined> {
  if (request === undefined) return undefined
  return volume?.kept(keyOf(request.workDirectory), jobName(request.id), signal)
}
