import type { Observation } from '../../../src/environment/environment.ts'
import { observationOf, type ObserveLimits } from '../pods/observe.ts'
import { isKeeping } from '../pods/pod-states.ts'
import { mainContainer, stagingContainers } from '../pods/template.ts'
import type { WireJob, WirePod } from '../cluster/wire.ts'

/** How a pilot is, by its Job and its pod. */
export type PilotState =
  | { readonly kind: 'starting'; readonly reason: string | undefined }
  /** Its loop runs. */
  | { readonly kind: 'open'; readonly pod: PilotPod }
  /** Its loop is over; what jobs have left can be fetched. */
  | { readonly kind: 'closing'; readonly pod: PilotPod; readonly end: PilotEnd }
  | { readonly kind: 'gone'; readonly uid: string | undefined; readonly end: PilotEnd }

/** What a pod is called, and which one of that name. */
export interface PilotPod {
  readonly name: string
  readonly uid: string
  readonly host: string | undefined
}

export interface PilotEnd {
  /** Of the jobs that it takes along. */
  readonly cause: 'preempted' | 'node-failure' | 'out-of-memory'
  readonly message: string
  /** Why none like it would ever start; undefined where it may have been an accident. */
  readonly refusal: string | undefined
  /** Whether it ended otherwise than by itself. */
  readonly isFailure: boolean
}

export function pilotStateOf(
  job: WireJob,
  pods: readonly WirePod[],
  limits: ObserveLimits,
  now: number,
): PilotState {
  const observation = observationOf({ job, pods }, limits, now)
  const [pod] = pods
  const { name, uid } = pod?.metadata ?? {}
  const known = name === undefined || uid === undefined ? undefined : { name, uid, host: pod?.spec?.nodeName }
  if (observation.kind === 'running' && known !== undefined && canBeAsked(pod))
    return { kind: 'open', pod: known }
  if (observation.kind === 'queued' || observation.kind === 'running' || observation.kind === 'unclear')
    return { kind: 'starting', reason: 'reason' in observation ? observation.reason : undefined }
  const end = endOf(observation, hasBegun(pod))
  const isWhole = pods.length === 1 && pod?.metadata?.deletionTimestamp === undefined
  if (isWhole && known !== undefined && isKeeping(pod!)) return { kind: 'closing', pod: known, end }
  return { kind: 'gone', uid, end }
}

/** Whether both its loop and what serves the server run. */
function canBeAsked(pod: WirePod | undefined): boolean {
  const out = pod?.status?.containerStatuses?.find(({ name }) => name === stagingContainers.out)
  return hasBegun(pod) && out?.state?.running !== undefined
}

function hasBegun(pod: WirePod | undefined): boolean {
  const state = pod?.status?.containerStatuses?.find(({ name }) => name === mainContainer)?.state
  return state?.running !== undefined || state?.terminated !== undefined
}

function endOf(observation: Observation, hasRun: boolean): PilotEnd {
  const text = 'message' in observation ? observation.message : ''
  const message = `The pilot that ran it is over${text === '' ? '.' : `: ${text}`}`
  const stopped = observation.kind === 'stopped' ? observation.cause : undefined
  const cause = stopped === 'preempted' || stopped === 'out-of-memory' ? stopped : 'node-failure'
  // A loop that could not be started says so by the end of its container.
  const code = observation.kind === 'exited' ? observation.exitCode : undefined
  const isRefused = stopped === 'unknown' || code === 127 || (!hasRun && stopped === 'timeout')
  return { cause, message, refusal: isRefused ? text : undefined, isFailure: code !== 0 }
}
