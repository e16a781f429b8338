import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on volunteers' hosts. */
export interface BoincReferenceOptions {
  /** Another name than `boinc` in logs and counters. */
  readonly name?: string
  /** How many hosts must send the same result before it counts; 1 without it. Hosts are strangers: 2 finds one that lies. */
  readonly quorum?: number
  /** To how many hosts a job goes at first; as many as the quorum without it. */
  readonly copies?: number
  /** To how many hosts it may go in all, where some fail, are late or disagree. */
  readonly maxCopies?: number
  /** So many hosts that fail end the job; 3 without it. */
  readonly maxErrors?: number
  /** Whether all copies go to hosts with the same operating system and kind of processor, for results that depend on it. */
  readonly homogeneous?: boolean
  /**
   * How much numbers in outputs may differ that count as the same: `{ relative: 1e-6 }`, `{ absolute: 0.01 }`, or the
   * larger of both. Without it outputs are the same byte for byte.
   */
  readonly agree?: { readonly relative?: number; readonly absolute?: number }
  /** How long a host has before the job is given to another: `'2 d'`, or milliseconds. 7 days without it. */
  readonly deadline?: string | number

  /**
   * How many jobs go to a host together, which runs them one after the other. Without it, as many as make some ten
   * minutes, once it is known how long they take.
   */
  readonly by?: number
  /** How long a job takes on a usual host: `'20 min'`, or milliseconds. Hosts plan by it until it is known better. */
  readonly usualTime?: string | number

  /** BOINC's names of the platforms where commands may run; Linux on x86-64 and arm64 without it. */
  readonly platforms?: readonly (
    'x86_64-pc-linux-gnu' | 'aarch64-unknown-linux-gnu' | 'i686-pc-linux-gnu' | 'arm-unknown-linux-gnueabihf'
  )[]

  /** How long a job may run that says nothing itself: `'90 min'`, `'2 h'`, or milliseconds. */
  readonly time?: string | number
  /** Memory of a job that asks for none itself: `'4 GB'`, or bytes. */
  readonly memory?: string | number
  /** Processors of a job that asks for none itself. */
  readonly cpus?: number
  /** What a job may write, with the files that it is given: `'10 GB'`, or bytes. 2 GB without it. */
  readonly disk?: string | number
  /** Largest archive of results that a host may send: `'1 GB'`, or bytes. 256 MB without it. */
  readonly results?: string | number
  /** Variables of every job. */
  readonly variables?: Readonly<Record<string, string>>
  /** Most jobs of this server that wait or run there; 10,000 without it. */
  readonly maxActiveJobs?: number
}

/** Hosts of BOINC volunteers, for `.on(boinc({ quorum: 2, deadline: '2 d' }))`. */
export function boinc({ name, ...options }: BoincReferenceOptions = {}): EnvironmentReference {
  return { kind: 'boinc', ...(name === undefined ? {} : { name }), options }
}
