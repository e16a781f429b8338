import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on the server's own computer. */
export interface LocalReferenceOptions {
  /** Another name than `local` in logs and counters. */
  readonly name?: string
  /** How many jobs run at once; without it, as many as there are processors. */
  readonly slots?: number
  /** How long a job may go on after it was asked to end, in milliseconds. */
  readonly stopGraceMs?: number
  /** Variables of every job, besides the few that pass from the server. */
  readonly env?: Readonly<Record<string, string>>
}

/** The server's own computer, for `.on(local({ slots: 4 }))`. */
export function local({ name, ...options }: LocalReferenceOptions = {}): EnvironmentReference {
  return { kind: 'local', ...(name === undefined ? {} : { name }), options }
}
