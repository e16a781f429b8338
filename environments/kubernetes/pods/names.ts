import { createHash } from 'node:crypto'
import { isJobId, type JobId } from '../../../src/environment/environment.ts'

/*
 * What our objects are called. Names in Kubernetes are lower case and at most 63 characters where they become labels
 * of pods (RFC 1123), so ids may have to be changed: those get a hash of the whole id, and a beginning that no
 * unchanged one has.
 */

const longest = 63

export const labelKeys = {
  instance: 'molehill/instance',
  execution: 'molehill/execution',
  capsule: 'molehill/capsule',
  attempt: 'molehill/attempt',
} as const

/** The whole job id, where the label may hold only a part of it. */
export const jobIdAnnotation = 'molehill/job-id'
/** When somebody asked the job to end, as ISO 8601: it tells a cancel from a deadline. */
export const cancelledAnnotation = 'molehill/cancelled'
/** Kueue's. */
export const queueLabel = 'kueue.x-k8s.io/queue-name'

/** Whose a Job is: the same for the Job, its pod and its Secret. */
export interface JobIdentity {
  readonly id: JobId
  /** Stands for this environment of this server; the same in its next life. */
  readonly instance: string
  /** Stands for the execution: `keyOf` its work directory. */
  readonly execution: string
  readonly capsule?: string
}

/** Name of the Job of an attempt, and of the Secret that belongs to it. Different for different ids. */
export function jobName(id: JobId): string {
  const plain = `mh-${id}`
  if (plain.length <= longest && /^[a-z0-9-]*[a-z0-9]$/.test(plain)) return plain
  const hash = hashOf(id)
  const readable = id.toLowerCase().slice(0, longest - 'mhx--'.length - hash.length)
  return `mhx-${readable}-${hash}`
}

/** The text as the value of a label. Different for different texts. */
export function labelValue(text: string): string {
  const isFit = text.length <= longest && /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/.test(text)
  if (isFit && !/_[0-9a-f]{20}$/.test(text)) return text
  const readable = text
    .replaceAll(/[^A-Za-z0-9-]/g, '')
    .replace(/^-+/, '')
    .slice(0, longest - 21)
  return `${readable === '' ? 'x' : readable}_${hashOf(text)}`
}

export function labelsOf({
  id,
  instance,
  execution,
  capsule,
}: JobIdentity): Readonly<Record<string, string>> {
  return {
    [labelKeys.instance]: labelValue(instance),
    [labelKeys.execution]: labelValue(execution),
    ...(capsule !== undefined && { [labelKeys.capsule]: labelValue(capsule) }),
    [labelKeys.attempt]: labelValue(id),
  }
}

export function annotationsOf({ id }: JobIdentity): Readonly<Record<string, string>> {
  return { [jobIdAnnotation]: id }
}

interface Labelled {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
}

/** The id of the job that an object belongs to; undefined for an object that is not of this instance. */
export function jobIdOf({ metadata }: Labelled, instance: string): JobId | undefined {
  if (metadata?.labels?.[labelKeys.instance] !== labelValue(instance)) return undefined
  const id = metadata.annotations?.[jobIdAnnotation] ?? metadata.labels[labelKeys.attempt]
  return id !== undefined && isJobId(id) ? id : undefined
}

/** Selects all objects of one environment of this server. */
export function instanceSelector(instance: string): string {
  return `${labelKeys.instance}=${labelValue(instance)}`
}

/** Selects those of one execution. */
export function executionSelector(instance: string, execution: string): string {
  return `${instanceSelector(instance)},${labelKeys.execution}=${labelValue(execution)}`
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 20)
}
