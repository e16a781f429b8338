import {
  EnvironmentError,
  type JobHandle,
  type JobId,
  type JobRequest,
  type Resources,
  type SubmitOutcome,
} from '../../../src/environment/environment.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { askCluster } from '../cluster/ask-cluster.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { jobBody, type JobBodyInput } from './job-body.ts'
import type { KeptRequests } from './kept-requests.ts'
import { jobName, labelsOf, type JobIdentity } from './names.ts'
import type { KubernetesOptions } from '../options.ts'
import { isJobOf, meaningOf } from './outcome.ts'
import type { WireJob } from '../cluster/wire.ts'

export interface SubmissionParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions
  readonly instance: string
  readonly requests: KeptRequests
  /** How the pod fetches its files; undefined where they are brought. */
  readonly fetch: JobBodyInput['fetch']
  /** Gets a Job as it was sent and as the server made it. */
  readonly made: (sent: WireJob, kept: WireJob) => void
}

/** Makes the Job of an attempt, whose pod mounts these contents, and keeps the request while there is one. Throws EnvironmentError. */
export async function submitJob(
  parts: SubmissionParts,
  request: JobRequest,
  mounted: readonly string[],
  signal: AbortSignal,
): Promise<SubmitOutcome> {
  const { cluster, options, instance, requests, fetch, made } = parts
  const { id, workDirectory } = request
  const resources = withDefaults(request.resources, options)
  const identity = { id, instance, execution: keyOf(workDirectory) }
  await requests.keep({ ...request, resources })
  try {
    // There are no times in it, which the client's types would have as dates.
    const body = jobBody(
      { ...identity, resources, mounted, isKept: mounted.length > 0, fetch },
      options,
    ) as unknown as WireJob
    const job = await cluster.jobs.create(body, signal)
    made(body, job)
    return { kind: 'accepted', handle: handleOf(id, job) }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const outcome = await outcomeOf(error, identity, parts, signal)
    if (outcome.kind !== 'accepted') requests.forget([id])
    return outcome
  }
}

async function outcomeOf(
  error: ApiError,
  identity: JobIdentity,
  { cluster }: SubmissionParts,
  signal: AbortSignal,
): Promise<SubmitOutcome> {
  const meaning = meaningOf(error, await cluster.namespace(signal))
  if (meaning.kind === 'outcome') return meaning.outcome
  if (meaning.kind === 'environment') throw new EnvironmentError(meaning.message, { cause: error })
  const found = await askCluster(() => cluster.jobs.find(jobName(identity.id), signal))
  if (found === undefined) return { kind: 'deferred', reason: error.message }
  if (isJobOf(found, labelsOf(identity))) return { kind: 'accepted', handle: handleOf(identity.id, found) }
  return {
    kind: 'rejected',
    reason: `There is a Job ${jobName(identity.id)} already that is not Molehill's.`,
  }
}

export function handleOf(id: JobId, { metadata }: WireJob): JobHandle {
  return { id, nativeId: metadata?.uid ?? '', state: { version: 1, name: jobName(id) } }
}

/** What a job asks for, or else what the environment gives. */
export function withDefaults(
  resources: Resources,
  { cpus, memory, gpus, time }: KubernetesOptions,
): Resources {
  return {
    ...(cpus !== undefined && { cpus }),
    ...(memory !== undefined && { memoryBytes: memory }),
    ...(gpus !== undefined && { gpus }),
    ...(time !== undefined && { wallTimeMs: time }),
    ...resources,
  }
}
