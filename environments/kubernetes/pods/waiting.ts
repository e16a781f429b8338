import type { Observation } from '../../../src/environment/environment.ts'
import type { WireEvent, WireJob, WirePod } from '../cluster/wire.ts'

/** Why a pod has not started, and since when. */
export interface Waiting {
  readonly reason: string
  /** For people. */
  readonly text: string
  /** Milliseconds since 1970, by the cluster's clocks. */
  readonly since: number | undefined
}

/** Reasons of waiting containers that hardly any waiting mends. */
const stuckReasons = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
  'RegistryUnavailable',
  'CreateContainerConfigError',
  'CreateContainerError',
])

/** What the pod waits for; undefined where nothing says so. */
export function waitingOf({ status }: WirePod): Waiting | undefined {
  const inits = status?.initContainerStatuses ?? []
  const all = [...inits, ...(status?.containerStatuses ?? [])]
  const waits = all.flatMap(({ name, image, state }) =>
    state?.waiting === undefined ? [] : [{ name, image, ...state.waiting }],
  )
  // Later containers only wait for earlier ones.
  const told = waits.find(({ reason }) => stuckReasons.has(reason ?? '')) ?? waits[0]
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False')
    return {
      reason: scheduled.reason ?? 'Unschedulable',
      text: scheduled.message ?? scheduled.reason ?? 'no node has taken it yet',
      since: timeOf(scheduled.lastTransitionTime),
    }
  if (told === undefined || told.reason === 'PodInitializing') {
    const isStaging = inits.some(({ state }) => state?.running !== undefined)
    if (isStaging) return { reason: 'PodInitializing', text: 'its files are on their way', since: undefined }
    if (told === undefined) return undefined
  }
  // Images of later containers are pulled when the earlier ones have ended.
  const times = [status?.startTime, ...inits.map(({ state }) => state?.terminated?.finishedAt)]
    .map(timeOf)
    .filter((time) => time !== undefined)
  return {
    reason: told.reason ?? '',
    text: [told.reason, told.message].filter((part) => part !== undefined && part !== '').join(': '),
    since: times.length === 0 ? undefined : Math.max(...times),
  }
}

/** Whether the pod has waited longer than is worth it for what hardly comes. */
export function isOverWaiting(
  { reason, text, since }: Waiting,
  { pendingLimitMs }: { readonly pendingLimitMs: number },
  now: number,
): boolean {
  const isStuck = stuckReasons.has(reason) || /persistentvolumeclaim "[^"]*" not found/.test(text)
  return isStuck && since !== undefined && now - since > pendingLimitMs
}

/**
 * Whether a node that went down in between has lost the pod: its files were there, nothing of it runs any more, which its
 * missing address shows, and a kubelet that comes back does not begin such a pod anew.
 */
export function isForgotten(
  { status }: WirePod,
  { reason, since }: Waiting,
  { pendingLimitMs }: { readonly pendingLimitMs: number },
  now: number,
): boolean {
  const inits = status?.initContainerStatuses ?? []
  const hasFiles = inits.length > 0 && inits.every(({ state }) => state?.terminated?.exitCode === 0)
  const isOut = reason === 'PodInitializing' && hasFiles && status?.podIP === undefined
  return isOut && since !== undefined && now - since > pendingLimitMs
}

/** What to say of a Job that has no pod and has not ended: the newest event tells why. */
export function queuedOrStuck(
  job: WireJob,
  events: readonly WireEvent[],
  { pendingLimitMs }: { readonly pendingLimitMs: number },
  now: number,
): Observation {
  if (job.spec?.suspend === true)
    return { kind: 'queued', reason: 'its Job is suspended until its queue admits it' }
  const refusal = events
    .filter((event) => event.reason === 'FailedCreate' && isAbout(event, job))
    .toSorted((a, b) => eventTime(b) - eventTime(a))[0]
  if (refusal === undefined) return { kind: 'queued' }
  const text = (refusal.message ?? '').replace(/^Error creating: /, '')
  const since = timeOf(job.metadata?.creationTimestamp)
  // A quota may have room again; what a policy forbids, or what names something that is not there, stays so.
  const isForGood = /is forbidden|is invalid|not found/.test(text) && !text.includes('exceeded quota')
  if (isForGood && since !== undefined && now - since > pendingLimitMs)
    return { kind: 'stopped', cause: 'unknown', message: `The cluster makes no pod for it.${wordsOf(text)}` }
  return { kind: 'queued', ...(text !== '' && { reason: text }) }
}

function isAbout({ involvedObject }: WireEvent, { metadata }: WireJob): boolean {
  if (involvedObject.uid !== undefined && metadata?.uid !== undefined)
    return involvedObject.uid === metadata.uid
  return involvedObject.kind === 'Job' && involvedObject.name === metadata?.name
}

function eventTime({ lastTimestamp, eventTime: at, firstTimestamp, metadata, series }: WireEvent): number {
  const texts = [series?.lastObservedTime, lastTimestamp, at, firstTimestamp, metadata.creationTimestamp]
  return Math.max(0, ...texts.map((text) => timeOf(text ?? undefined) ?? 0))
}

/** Milliseconds since 1970; undefined for what is no time. */
export function timeOf(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? undefined : time
}

/** The cluster's words after a sentence of ours. */
export function wordsOf(text: string | undefined): string {
  const words = (text ?? '').replaceAll(/\s+/g, ' ').trim().slice(0, 1000)
  return words === '' ? '' : ` Kubernetes says: ${words}`
}
