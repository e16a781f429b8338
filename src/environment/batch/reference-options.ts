import type { SshLoginOptions } from '../ssh/login-options.ts'

/** What a script can say of any batch scheduler. */
export interface BatchReferenceOptions extends SshLoginOptions {
  /** Another name than that of the scheduler in logs and counters. */
  readonly name?: string

  /** Name, address or alias (`~/.ssh/config`) of the login node; without it the scheduler's commands are run here. */
  readonly host?: string

  /** Where files of jobs lie; every node must see it at the same path. `~/.molehill` behind SSH without it. */
  readonly workDirectory?: string
  /** Whether the cluster sees the server's files at the same paths, so that nothing has to travel. */
  readonly sharesFiles?: boolean

  /** How long a job may run that says nothing itself: `'90 min'`, `'2 h'`, `'1-02:00:00'`, or milliseconds. */
  readonly time?: string | number
  /** Memory of a job that asks for none itself: `'4 GB'`, or bytes. */
  readonly memory?: string | number
  /** Processors of a job that asks for none itself. */
  readonly cpus?: number

  /** Environment modules that are loaded before a job's command. */
  readonly modules?: readonly string[]
  /** Bash lines that every job reads before its command. */
  readonly prologue?: readonly string[]
  /** Options of the scheduler that have no name here, one a line as it writes them. */
  readonly extraDirectives?: readonly string[]

  /** Most jobs in one submission; 1000 without it. */
  readonly maxArraySize?: number
  /**
   * Runs jobs in pilots: a thousand short jobs cost a few places in the queue. Each pilot is one batch job on one node
   * that runs `slots` jobs at once until its `time` is nearly up, or until nothing came for `idleMs` (one minute without
   * it). A slot has `cpus` (one without it) and `memory`. At most `count` pilots are in the queue or run. A job whose own
   * time is longer than a pilot's is refused.
   */
  readonly pilots?: {
    readonly count: number
    readonly slots: number
    /** `'2 h'`, `'1-02:00:00'`, or milliseconds. */
    readonly time: string | number
    readonly idleMs?: number
  }
  /** Most jobs of this server in the queue or running; 10000 without it. */
  readonly maxQueued?: number
  /** Most submissions in a minute; 60 without it. */
  readonly submissionsPerMinute?: number
  /** How long a job may go on after it was asked to end, in milliseconds. */
  readonly stopGraceMs?: number
  /**
   * Jobs of a host that gave no answer for so long count as lost and are tried again, elsewhere where they may: `'2 h'`,
   * or milliseconds. Without it they wait until it answers.
   */
  readonly lostAfter?: string | number
  /** How soon and how rarely the scheduler is asked, in milliseconds. */
  readonly pollMs?: { readonly min: number; readonly max: number }
}
