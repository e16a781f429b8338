import type { Observation, StopCause } from '../../../src/environment/environment.ts'
import { readEnd } from '../../../src/environment/job-files/job-script.ts'
import { cancelledAnnotation } from './names.ts'
import { signalName } from '../../../src/environment/signal-name.ts'
import { endingMs } from '../scripts/start-script.ts'
import { mainContainer, stagingContainers } from './template.ts'
import { isForgotten, isOverWaiting, queuedOrStuck, timeOf, waitingOf, wordsOf } from './waiting.ts'
import type { WireEvent, WireJob, WirePod } from '../cluster/wire.ts'

/** All that the cluster shows of one job. */
export interface Seen {
  readonly job: WireJob | undefined
  /** Pods of the Job. */
  readonly pods: readonly WirePod[]
  /** About the Job; others are left aside. */
  readonly events?: readonly WireEvent[]
  /** UID of the pod that got the job's files, where that is known: any other is another try. */
  readonly startedPod?: string | undefined
}

export interface ObserveLimits {
  /** How long a pod that cannot start is waited for. */
  readonly pendingLimitMs: number
  readonly stopGraceMs: number
}

/** What the kubelet calls an end that the node is to blame for, in `status.reason` of a pod. */
const nodeReasons = new Set([
  'NodeLost',
  'Shutdown',
  'Terminated',
  'NodeShutdown',
  'NodeAffinity',
  'UnexpectedAdmissionError',
])
/** Nodes end what they are asked to end within seconds, after its grace. */
const silentNodeMs = 60_000
const preemptedReasons = new Set(['Evicted', 'Preempting'])
/** Ends of containers that say that it never ran. */
const notStarted = new Set(['StartError', 'ContainerCannotRun'])
/** Ends of containers of which their node only knows that they are gone, as after a power cut. */
const unseenReasons = new Set(['Unknown', 'ContainerStatusUnknown'])

/** What the condition `Failed` of a Job says where its pod is gone. */
const causesOfFailedJobs: Readonly<Record<string, StopCause>> = {
  DeadlineExceeded: 'timeout',
}

/**
 * What became of a job, by its Job and pods alone: the first of these rules that fits. `now` is in milliseconds since
 * 1970, by the clock that also wrote the annotation of a cancel.
 */
export function observationOf(seen: Seen, limits: ObserveLimits, now: number): Observation {
  const { job, pods } = seen
  const [pod] = pods
  if (pod === undefined) return withoutPod(job, seen.events ?? [], limits, now)
  const cancelledAt = cancelTime(pod) ?? cancelTime(job)
  if (pods.length > 1)
    return stopped('preempted', 'Its pod was ended from outside, and Kubernetes had begun another one.')
  if (seen.startedPod !== undefined && pod.metadata?.uid !== seen.startedPod)
    return stopped('preempted', 'Its pod is gone, and Kubernetes has begun another one.')
  if (pod.metadata?.deletionTimestamp !== undefined && cancelledAt === undefined)
    return stopped('preempted', `Its pod was deleted from outside.${wordsOf(pod.status?.message)}`)
  const observation = withPod(pod, cancelledAt, limits, now)
  const isOpen = observation.kind === 'running' || observation.kind === 'queued'
  if (!isOpen || cancelledAt === undefined) return observation
  // On a node that is lost nothing ever ends, whether it is being deleted there or has only been asked to end.
  const isDeleted = pod.metadata?.deletionTimestamp !== undefined
  const graceMs = limits.stopGraceMs + (isDeleted ? 2 * endingMs : silentNodeMs)
  return now >= cancelledAt + graceMs ? cancelled : observation
}

function withoutPod(
  job: WireJob | undefined,
  events: readonly WireEvent[],
  limits: ObserveLimits,
  now: number,
): Observation {
  if (job === undefined)
    return { kind: 'lost', message: 'Neither its Job nor its pod is in the cluster (any more).' }
  if (cancelTime(job) !== undefined) return cancelled
  // Its log and outputs are gone, but not how it ended.
  if (conditionOf(job, 'Complete') !== undefined) return { kind: 'exited', exitCode: 0 }
  const failed = conditionOf(job, 'Failed')
  if (failed === undefined) return queuedOrStuck(job, events, limits, now)
  const words = `Its Job failed and its pod is gone.${wordsOf(failed.message ?? failed.reason)}`
  // Pods of jobs stay until their outputs are fetched: somebody else has removed it.
  return stopped(causesOfFailedJobs[failed.reason ?? ''] ?? 'preempted', words)
}

/** Whether the Job is over, whatever has become of its pod. */
export function isOver(job: WireJob): boolean {
  return conditionOf(job, 'Complete') !== undefined || conditionOf(job, 'Failed') !== undefined
}

function conditionOf({ status }: WireJob, type: 'Complete' | 'Failed') {
  return status?.conditions?.find((each) => each.type === type && each.status === 'True')
}

function withPod(
  pod: WirePod,
  cancelledAt: number | undefined,
  limits: ObserveLimits,
  now: number,
): Observation {
  const { status } = pod
  const reason = status?.reason
  const main = status?.containerStatuses?.find(({ name }) => name === mainContainer)?.state
  const end = main?.terminated
  const finishedAt = timeOf(end?.finishedAt)
  const disruption = disruptionOf(pod, finishedAt)
  if (disruption !== undefined) return disruption

  // Times of pods are whole seconds, cut off: an end in the same second is not known to have been before.
  const isDeadline = reason === 'DeadlineExceeded'
  const askedAt = cancelledAt ?? (isDeadline ? deadlineOf(pod) : undefined)
  const isByItself =
    askedAt === undefined ? !isDeadline : finishedAt !== undefined && finishedAt < wholeSeconds(askedAt)
  if (end !== undefined && isByItself) return ended(pod, end)

  if (isDeadline || (cancelledAt !== undefined && end !== undefined)) {
    const hasStarted = main?.running !== undefined || end !== undefined
    // The pod says so while the container may still use its grace, and may never tell its end.
    const isOver =
      end !== undefined || !hasStarted || now >= (askedAt ?? 0) + limits.stopGraceMs + 2 * endingMs
    if (!isOver) return running(pod)
    if (cancelledAt !== undefined) return cancelled
    if (hasStarted) return stopped('timeout', 'It ran longer than its pod may live.')
    return stopped('unknown', `It could not start before its pod had to end.${wordsOf(waitingOf(pod)?.text)}`)
  }

  const stageIn = status?.initContainerStatuses?.find(({ state }) => (state?.terminated?.exitCode ?? 0) !== 0)
  if (status?.phase === 'Failed') {
    if (cancelledAt !== undefined) return cancelled
    const told = stageIn?.state?.terminated
    if (unseenReasons.has(told?.reason ?? ''))
      return stopped('node-failure', `Its node lost sight of it before it began.${wordsOf(told?.message)}`)
    const words = told === undefined ? (status.message ?? reason) : (told.message ?? told.reason)
    return stopped('unknown', `Its pod failed before it began.${wordsOf(words)}`)
  }
  if (status?.phase === 'Succeeded') return { kind: 'exited', exitCode: 0, ...hostOf(pod) }
  const waiting = waitingOf(pod)
  if (waiting !== undefined && isOverWaiting(waiting, limits, now))
    return stopped('unknown', `Its pod cannot start.${wordsOf(waiting.text)}`)
  if (waiting !== undefined && isForgotten(pod, waiting, limits, now))
    return stopped('node-failure', 'Its node lost sight of it before it began, and does not begin it anew.')
  if (main?.running !== undefined || (status?.phase === 'Running' && main?.waiting === undefined))
    return running(pod)
  if (status?.phase === 'Pending' || status?.phase === 'Running')
    return { kind: 'queued', ...(waiting !== undefined && { reason: waiting.text }) }
  return {
    kind: 'unclear',
    message: `The phase ${JSON.stringify(status?.phase ?? '')} of its pod is not known.${wordsOf(status?.message ?? reason)}`,
  }
}

/** An end that was neither the job's nor ours; undefined where there is none, or where the job had ended before. */
function disruptionOf(pod: WirePod, finishedAt: number | undefined): Observation | undefined {
  const { reason, message, conditions } = pod.status ?? {}
  const words = wordsOf(message)
  if (reason !== undefined && preemptedReasons.has(reason))
    return stopped('preempted', `Its pod was ended by its node (${reason}).${words}`)
  if (reason !== undefined && (nodeReasons.has(reason) || reason.startsWith('OutOf')))
    return stopped('node-failure', `Its pod ended with its node (${reason}).${words}`)
  const target = conditions?.find(({ type, status }) => type === 'DisruptionTarget' && status === 'True')
  if (target === undefined) return undefined
  const since = timeOf(target.lastTransitionTime)
  if (finishedAt !== undefined && since !== undefined && finishedAt < since) return undefined
  return stopped('preempted', `Its pod had to make room.${wordsOf(target.message ?? target.reason)}`)
}

type Terminated = NonNullable<
  NonNullable<NonNullable<NonNullable<WirePod['status']>['containerStatuses']>[number]['state']>['terminated']
>

/** How a job ended by itself: by Kubernetes' word where it has one, else by the script's, else by its exit code. */
function ended(pod: WirePod, end: Terminated): Observation {
  const { reason, message, exitCode } = end
  if (reason === 'OOMKilled') return stopped('out-of-memory', 'It needed more memory than it had asked for.')
  if (reason !== undefined && notStarted.has(reason))
    return stopped(
      'unknown',
      `Its container could not be started; the busybox of the staging image must need no libraries.${wordsOf(message)}`,
    )
  const told = readEnd(`${(message ?? '').trimEnd()}\n`)
  if (told === undefined && hasNotBegun(end))
    return stopped('node-failure', 'Its node lost sight of it before it began.')
  if (told === undefined && unseenReasons.has(reason ?? ''))
    return stopped('node-failure', `Its node lost sight of it.${wordsOf(message)}`)
  const loss = lossOf(pod)
  if (loss !== undefined) return stopped('node-failure', loss)
  if (told?.kind === 'timeout') return stopped('timeout', 'It ran longer than its wall time.')
  if (told?.kind === 'signalled') return stopped('signal', `It was ended by ${signalName(told.signal)}.`)
  if (told?.kind === 'failed') return stopped('unknown', told.message)
  if (told?.kind === 'abandoned') return stopped('node-failure', told.message)
  return { kind: 'exited', exitCode: told?.kind === 'exited' ? told.exitCode : exitCode, ...hostOf(pod) }
}

/** Kubelet 1.20 tells of a container that was made and not begun when the power was cut: code 0, and no times. */
function hasNotBegun({ startedAt, finishedAt }: Terminated): boolean {
  return timeOf(startedAt) === undefined && timeOf(finishedAt) === undefined
}

/**
 * Why what a job left is gone although it has ended by itself; undefined where its pod shows no reason. What keeps it ends
 * with 0 by itself; a node that goes down may tell that it was killed, or know nothing of it.
 */
export function lossOf({ status }: WirePod): string | undefined {
  const stageOut = status?.containerStatuses?.find(({ name }) => name === stagingContainers.out)
  const end = stageOut?.state?.terminated
  if (end === undefined || (end.exitCode === 0 && !hasNotBegun(end))) return undefined
  return `It had ended, but what kept its outputs went down with its node.${wordsOf(end.message)}`
}

/** When the pod had to end, by the node's clock. */
function deadlineOf({ spec, status }: WirePod): number | undefined {
  const started = timeOf(status?.startTime)
  if (started === undefined || spec?.activeDeadlineSeconds === undefined) return undefined
  return started + spec.activeDeadlineSeconds * 1000
}

function cancelTime(object: WireJob | WirePod | undefined): number | undefined {
  const text = object?.metadata?.annotations?.[cancelledAnnotation]
  return text === undefined ? undefined : (timeOf(text) ?? 0)
}

function running(pod: WirePod): Observation {
  return { kind: 'running', ...hostOf(pod) }
}

function hostOf({ spec }: WirePod): { readonly host?: string } {
  return spec?.nodeName === undefined || spec.nodeName === '' ? {} : { host: spec.nodeName }
}

function wholeSeconds(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000
}

const cancelled: Observation = { kind: 'stopped', cause: 'cancelled', message: 'It was cancelled.' }

function stopped(cause: StopCause, message: string): Observation {
  return { kind: 'stopped', cause, message }
}
