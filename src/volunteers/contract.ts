import type { VolunteerProject } from '../environment/volunteers.ts'

/** The server's project of volunteers, as the scheduler's protocol and environments use it. */
export interface Volunteers extends VolunteerProject {
  /** Answers one scheduler request with a text, to go as UTF-8. What the answer tells is on the disk before it comes. */
  exchange(request: Uint8Array): Promise<string>

  /** The file of that name that hosts may fetch; undefined where there is none, or none any more. */
  downloadOf(name: string): Promise<DownloadFile | undefined>

  /** What is known of a file that a host was told to send; undefined where no host was. */
  uploadOf(name: string): Promise<UploadFile | undefined>

  /** Tells that a file is on the disk whole, and synced. */
  uploaded(name: string, sent: { readonly bytes: number; readonly md5: string }): Promise<void>

  /** How many results did not count so far: late, doubled, unknown, or another's. */
  countRefusals(): Promise<number>

  /** Sums for the statistics export and its page. */
  statistics(): Promise<ProjectStatistics>

  /** Ends its thread, after what is under way. */
  close(): Promise<void>
}

export interface DownloadFile {
  readonly path: string
  readonly bytes: number
}

export interface UploadFile {
  /** Where it is to be written; its directory is there. */
  readonly path: string
  readonly bytesAtMost: number
  /** When a host was given the task that it is of: milliseconds since 1970. */
  readonly givenAt: number
  /** `closed`: complete, or nobody needs it any more. What comes is read away and answered as a success. */
  readonly state: 'open' | 'closed'
}

export interface ProjectStatistics {
  readonly users: readonly {
    readonly id: number
    readonly name: string
    /** Milliseconds since 1970, as all times here. */
    readonly createdAt: number
    readonly totalCredit: number
    readonly averageCredit: number
    readonly averageAt: number
    readonly crossProjectId: string
  }[]
  readonly hosts: readonly {
    readonly id: number
    readonly userId: number
    readonly name: string
    readonly createdAt: number
    readonly lastContact: number
    readonly platform: string
    readonly cpus: number
    readonly cpuModel: string
    readonly operatingSystem: string
    readonly memoryBytes: number
    readonly flops: number
    readonly totalCredit: number
    readonly averageCredit: number
    readonly averageAt: number
  }[]
}
