import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on a computer behind SSH. */
export interface SshReferenceOptions {
  /** Another name than `ssh` in logs and counters. */
  readonly name?: string
  /** Name or address of the computer, or an alias of `~/.ssh/config`. */
  readonly host: string
  /** Without it, what `~/.ssh/config` says, or the server's own user. */
  readonly user?: string
  readonly port?: number
  /** A private key, or the public one of a key that an agent holds. */
  readonly identityFile?: string
  /** Hosts to go through, first to last: `user@gateway:22,second`. */
  readonly jump?: string
  /** The only file of known hosts that counts. */
  readonly knownHostsFile?: string
  /** Takes the key of a host that is not known yet, and remembers it. A changed key is always refused. */
  readonly acceptNew?: boolean
  /** Instead of `~/.ssh/config`. */
  readonly configFile?: string
  readonly connectTimeoutMs?: number
  /** After three of these without an answer the connection counts as lost. */
  readonly keepAliveMs?: number
  /** Whether jobs see what the user's login profile sets; they do without it. */
  readonly loginProfile?: boolean
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
  /** Bash lines that every job reads before its command. */
  readonly prologue?: readonly string[]
}

/** A computer behind SSH, for `.on(ssh({ host: 'node1', slots: 16 }))`. Passwords belong to named environments. */
export function ssh({ name, ...options }: SshReferenceOptions): EnvironmentReference {
  return { kind: 'ssh', ...(name === undefined ? {} : { name }), options }
}
