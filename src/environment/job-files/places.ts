import { createHash } from 'node:crypto'
import type { JobId } from '../environment.ts'

/** A job's directory on a host: `executions/KEY/jobs/ID` below the base. */
export interface JobPlace {
  readonly id: JobId
  /** Stands for the execution. */
  readonly key: string
}

/** Short text for an execution, made of its work directory: letters and digits. */
export function keyOf(workDirectory: string): string {
  return createHash('sha256').update(workDirectory).digest('hex').slice(0, 20)
}

/** Paths are relative to the base directory on the host. */
export function executionPath(key: string): string {
  return `executions/${key}`
}

export function jobPath({ key, id }: JobPlace): string {
  return `executions/${key}/jobs/${id}`
}

/** Whether `key` can be one of ours: it becomes part of paths that are deleted. */
export function isKey(key: unknown): key is string {
  return typeof key === 'string' && /^[0-9a-f]{20}$/.test(key)
}
