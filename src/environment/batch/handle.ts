import type { JobHandle, JobId } from '../environment.ts'
import { isKey, type JobPlace } from '../job-files/places.ts'

/** What a handle of a batch environment says. */
export interface BatchPosition {
  readonly place: JobPlace
  readonly batch: string
  readonly index: number
  /** '' where the scheduler's answer never came and the job is known by its files only. */
  readonly nativeId: string
}

const version = 1

export function handleOf({ place, batch, index, nativeId }: BatchPosition, submittedAt: number): JobHandle {
  return { id: place.id, nativeId, state: { version, key: place.key, batch, index, submittedAt } }
}

/** Undefined for a handle that is not one of ours, or of a version that is not known. */
export function readHandle({ id, nativeId, state }: JobHandle): BatchPosition | undefined {
  const { key, batch, index } = state
  if (state.version !== version || !isKey(key)) return undefined
  if (typeof batch !== 'string' || typeof index !== 'number') return undefined
  return { place: { id, key }, batch, index, nativeId }
}

/** The line of a job's directory that tells where it is in the scheduler. */
export function noteOf(batch: string, index: number, submittedAt: number): string {
  return `${batch} ${index} ${submittedAt}`
}

export function readNote(
  note: string,
): { readonly batch: string; readonly index: number; readonly submittedAt: number } | undefined {
  const [batch = '', index, submittedAt] = note.split(' ')
  if (batch === '' || !/^\d+$/.test(index ?? '')) return undefined
  return { batch, index: Number(index), submittedAt: Number(submittedAt) || 0 }
}

/** Native ids by job, in the file `submitted` of a batch. */
export function submittedText(nativeIds: readonly string[]): string {
  return `${JSON.stringify(nativeIds)}\n`
}

export function readSubmitted(text: string | undefined): readonly string[] {
  if (text === undefined) return []
  try {
    const ids: unknown = JSON.parse(text)
    return Array.isArray(ids) && ids.every((id) => typeof id === 'string') ? ids : []
  } catch {
    return []
  }
}

/** A job as the environment follows it. */
export interface FollowedJob extends BatchPosition {
  readonly handle: JobHandle
  /** When the job first could not be explained; see `Evidence.missingMs`. */
  missingSince: number | undefined
  /** Whether its directory was there: a handle may be older than what it speaks of. */
  isProven: boolean
  /** Whether the scheduler had it when it was last asked, or has just taken it: then its native id is its own. */
  isListed: boolean
  /** Whether it has ended, for certain. */
  hasEnded: boolean
}

export type FollowedJobs = Map<JobId, FollowedJob>
