import type { NotYet, Sameness } from './sameness.ts'

/**
 * What environments ask of the server's project of volunteers: to hand work out to hosts that come and ask, and to bring
 * back the one result that counts. One project serves every environment of the server.
 */
export interface VolunteerProject {
  /**
   * Puts work in line. On the disk when it returns. A workunit whose name is known stays as it is, so that it may be
   * repeated after a crash. The files must stay where they are until the workunit is removed.
   */
  file(workunits: readonly Workunit[]): Promise<void>

  /** How far workunits are; names that are not known are absent. */
  progressOf(names: readonly string[]): Promise<ReadonlyMap<string, WorkunitProgress>>

  /** No host gets it any more, those that have it are told to stop, and it ends as cancelled at once. Safe to repeat. */
  cancel(names: readonly string[]): Promise<void>

  /** Forgets ended workunits and deletes what hosts sent for them. Safe to repeat, silent when already gone. */
  remove(names: readonly string[]): Promise<void>

  /** Calls `changed` with names of workunits soon after they changed, until the signal aborts. */
  watch(changed: (names: readonly string[]) => void, signal: AbortSignal): void

  /** Asks `compare` of workunits whose agreement is `asked`, until the signal aborts. */
  compareWith(compare: ArchiveComparison, signal: AbortSignal): void

  /**
   * The project's signature of a program that hosts are to run. Throws, with what to do about it, where the signing key
   * is kept elsewhere and the file has not been signed with it yet.
   */
  signatureOf(program: { readonly name: string; readonly md5: string }): Promise<string>

  /** Hosts that the project knows, the most recent first, for `environment show` and checks. */
  hosts(limit: number): Promise<readonly VolunteerHost[]>
}

/** One piece of work for one host, and for as many others as must agree with it. */
export interface Workunit {
  /** Never used twice: letters, digits, `.`, `_` and `-`, at most 200. */
  readonly name: string
  /** Of the environment that filed it. */
  readonly environment: string
  /** The signed programs that run it. */
  readonly application: Application
  readonly inputs: readonly WorkunitInput[]
  /** Largest result archive that a host may send. */
  readonly outputBytesAtMost: number
  /** Guess of its run time on a usual host. */
  readonly estimatedMs: number
  /** A host that takes longer ends it. */
  readonly wallTimeMs: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly cpus: number
  /** How long a host has for it before it is given to another. */
  readonly deadlineMs: number
  readonly replication: Replication
}

export interface Application {
  /** `molehill` for commands; a name of its own for each set of signed bundles, such as `molehill_0123abcd`. */
  readonly name: string
  /** For people. */
  readonly title: string
  /** Name in the working directory of the one file that its program leaves to be sent. */
  readonly resultName: string
  /** Whole number, raised for every change of its files: clients never fetch files of a version again. */
  readonly version: number
  /** For each platform, its files. The first is the program that is started; the others stand beside it. */
  readonly platforms: Readonly<Record<string, readonly ApplicationFile[]>>
}

export interface ApplicationFile {
  /** Name in the project, never used twice for other bytes. */
  readonly name: string
  /** Name in the working directory. Absent for the program that is started. */
  readonly openName?: string
  readonly path: string
  readonly bytes: number
  readonly md5: string
  /** Made with the project's code signing key, as BOINC writes signatures. */
  readonly signature: string
}

export interface WorkunitInput {
  /** Name in the project, never used twice for other bytes: made of the content's MD5. */
  readonly name: string
  readonly openName: string
  readonly path: string
  readonly bytes: number
  readonly md5: string
  /** Hosts keep it for so long for workunits to come. */
  readonly keptMs?: number
}

/** How many copies are computed and when a result counts. */
export interface Replication {
  /** Copies that are sent out at first. */
  readonly target: number
  /** So many successful copies must agree. */
  readonly quorum: number
  /** Failed copies that end it. */
  readonly errorsAtMost: number
  /** Copies in all. */
  readonly copiesAtMost: number
  /** All copies go to hosts with the same operating system and kind of processor. */
  readonly isHomogeneous: boolean
  /** When results are the same though their bytes are not. */
  readonly agreement?: Agreement
}

export type Agreement =
  | Tolerance
  /** Whoever filed it is asked: see `compareWith`. */
  | { readonly kind: 'asked' }

/**
 * Numbers in texts may differ by `absolute`, or by `relative` times the larger of the two, whichever is more; the rest
 * must be the same.
 */
export interface Tolerance {
  readonly kind: 'numbers'
  readonly relative: number
  readonly absolute: number
}

/**
 * Whether two results of a workunit are the same, by the paths of their archives. Undefined where the workunit is not
 * known here. Where it throws, it is asked again.
 */
export type ArchiveComparison = (
  pair: ArchivePair,
  signal: AbortSignal,
) => Promise<Sameness | NotYet | undefined>

export interface ArchivePair {
  /** The workunit's name. */
  readonly name: string
  readonly left: string
  readonly right: string
}

export type WorkunitProgress =
  | { readonly kind: 'queued'; readonly reason?: string }
  | { readonly kind: 'running'; readonly host?: string }
  /** The quorum is reached: `archive` is the path of the result that counts. */
  | { readonly kind: 'done'; readonly archive: string; readonly host: string }
  | {
      readonly kind: 'failed'
      readonly cause: 'timeout' | 'out-of-memory' | 'preempted' | 'node-failure' | 'lost' | 'unknown'
      readonly message: string
    }
  | { readonly kind: 'cancelled' }

export interface VolunteerHost {
  readonly id: number
  readonly name: string
  readonly volunteer: string
  readonly platform: string
  readonly cpus: number
  readonly memoryBytes: number
  /** Milliseconds since 1970. */
  readonly lastContact: number
  readonly copiesInProgress: number
  readonly copiesDone: number
  readonly copiesFailed: number
  /** Reports that did not count lately, and why the last one did not. */
  readonly refused: number
  readonly lastRefusal?: string
  readonly credit: number
}
