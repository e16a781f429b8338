import type { Workunit } from '../environment/volunteers.ts'

/** One exchange of the scheduler's protocol as plain data: what a client said, and what it is answered. */

export interface SchedulerRequest {
  readonly authenticator: string
  /** 0 for a host that is new. */
  readonly hostId: number
  readonly sequenceNumber: number
  readonly clientVersion: { readonly major: number; readonly minor: number; readonly release: number }
  /** What the host can run, its own kind first; `anonymous` where the volunteer brings programs of his own. */
  readonly platforms: readonly string[]
  /** Absent where it wants none now. */
  readonly wanted:
    { readonly seconds: number; readonly cpuSeconds: number; readonly idleCpus: number } | undefined
  /** The code signing key that it holds; empty where it has none yet. */
  readonly codeSignKey: string
  readonly allowsMultipleClients: boolean
  readonly host: HostFacts
  readonly results: readonly ReportedResult[]
  /** Names of copies that it holds and does not report now; undefined where it did not say. */
  readonly held: readonly string[] | undefined
  /** Names of sticky files that it keeps. */
  readonly stickyFiles: readonly string[]
  /** Preferences as they came: XML, kept for the volunteer and sent to his other hosts. */
  readonly preferences: string | undefined
}

export interface HostFacts {
  readonly crossProjectId: string
  readonly name: string
  readonly address: string
  readonly timezoneSeconds: number
  readonly cpus: number
  readonly cpuVendor: string
  readonly cpuModel: string
  /** Floating point operations per second, as the client measured them. */
  readonly flops: number
  readonly integerOperations: number
  readonly memoryBytes: number
  readonly diskFreeBytes: number
  /** What the project may use of it. */
  readonly projectDiskBytes: number
  readonly operatingSystem: string
  readonly operatingSystemVersion: string
}

export interface ReportedResult {
  readonly name: string
  /** 5 is success where the exit status is 0. */
  readonly state: number
  readonly exitStatus: number
  readonly cpuSeconds: number
  readonly elapsedSeconds: number
  readonly stderr: string
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly md5: string }[]
}

export interface SchedulerReply {
  readonly requestDelaySeconds: number
  /** The client comes by itself after so long; 0 where nothing is said about that. */
  readonly nextRequestSeconds: number
  /** `high` is what clients older than 6.12 show; later ones show `notice`. */
  readonly messages: readonly { readonly priority: 'notice' | 'high' | 'low'; readonly text: string }[]
  /** Absent where the client was not recognised. */
  readonly volunteer?: {
    readonly id: number
    readonly name: string
    readonly createdAt: number
    readonly totalCredit: number
    readonly averageCredit: number
  }
  /** Only when a host was made or changed. */
  readonly newHostId?: number
  /** The code signing key that the client holds, as in its request: ours is sent where it is another. */
  readonly heldCodeSignKey: string
  readonly acknowledged: readonly string[]
  readonly aborted: readonly string[]
  readonly abortedIfNotStarted: readonly string[]
  readonly deletedFiles: readonly string[]
  readonly assignments: readonly Assignment[]
  readonly preferences?: string
}

/** One copy of a workunit, given to the host that asked. */
export interface Assignment {
  /** Of the copy: the workunit's name, `_` and a number. */
  readonly name: string
  readonly workunit: AssignedWorkunit
  readonly platform: string
  /** Milliseconds since 1970. */
  readonly deadline: number
  /** Name of the file that it is to send: nobody can guess it. */
  readonly outputName: string
}

export type AssignedWorkunit = Pick<
  Workunit,
  | 'name'
  | 'application'
  | 'inputs'
  | 'outputBytesAtMost'
  | 'estimatedMs'
  | 'wallTimeMs'
  | 'memoryBytes'
  | 'diskBytes'
  | 'cpus'
>
