import type { SshLoginOptions } from '../../src/environment/ssh/login-options.ts'
import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on a computer behind SSH. */
export interface SshReferenceOptions extends SshLoginOptions {
  /** Another name than `ssh` in logs and counters. */
  readonly name?: string
  /** Name or address of the computer, or an alias of `~/.ssh/config`. */
  readonly host: string
  /** How many jobs run at once; 4 without it. */
  readonly slots?: number
  /** Where files of jobs lie on the host; `~/.molehill` without it. */
  readonly workDirectory?: string
  /** Whether the host sees the server's files at the same paths. */
  readonly sharesFiles?: boolean
  /** How long a job may go on after it was asked to end, in milliseconds. */
  readonly stopGraceMs?: number
  /** How long what runs jobs stays on the host without any, in milliseconds. */
  readonly idleMs?: number
  /**
   * Jobs of a host that gave no answer for so long count as lost and are tried again, elsewhere where they may: `'2 h'`,
   * or milliseconds. Without it they wait until it answers.
   */
  readonly lostAfter?: string | number
  /** Bash lines that every job reads before its command. */
  readonly prologue?: readonly string[]
}

/** A computer behind SSH, for `.on(ssh({ host: 'node1', slots: 16 }))`. Passwords belong to named environments. */
export function ssh({ name, ...options }: SshReferenceOptions): EnvironmentReference {
  return { kind: 'ssh', ...(name === undefined ? {} : { name }), options }
}
