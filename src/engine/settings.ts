import type { EnvironmentPlugin, JobLimits } from '../environment/plugin.ts'
import type { FileDesk } from '../environment/file-desk.ts'
import type { VolunteerProject } from '../environment/volunteers.ts'
import type { Isolation } from '../isolation/isolation.ts'
import type { NamedEnvironments } from '../store/named-environments.ts'
import type { EngineLimits } from './start-queue.ts'

/** What the engine must be told. Sizes in bytes, times in milliseconds. */
export interface EngineSettings {
  /** Holds `molehill.db` and `executions/`. */
  readonly dataDirectory: string
  /** Function calls and local commands at once. */
  readonly slots: number
  readonly scriptTimeMs: number
  readonly scriptMemoryBytes: number
  /** How much of an execution's output is kept. */
  readonly outputBytes: number
  /** What keeps scripts and tasks apart from the server; nothing without. */
  readonly isolation?: Isolation
  /** Whether tasks in boxes may use the network; they may without. */
  readonly taskNetwork?: boolean
  /** What tasks may read besides the programs of the system, where isolation is required. */
  readonly taskPaths?: readonly string[]
  /** What one command on this computer may take. */
  readonly taskLimits?: JobLimits
  /** How much is taken on at the same time; whatever comes without. */
  readonly limits?: EngineLimits
  /** How many jobs of a user may run at the same time; without, as many as there is room for. */
  readonly runningJobsOf?: (owner: string) => number
  /** Environments that scripts may name; none without. */
  readonly named?: NamedEnvironments
  /** Kinds of environments; those of `environments/` without. */
  readonly plugins?: ReadonlyMap<string, EnvironmentPlugin>
  /** The project that volunteers' hosts take part in, where the server has one. */
  readonly volunteers?: VolunteerProject
  /** Where jobs may fetch their files from. */
  readonly fileDesk?: FileDesk
  /** Throws Problem disk-full while nothing new should be started. */
  readonly checkDisk?: () => Promise<void>
  /** The server's environment variables, of which scripts and jobs get a stated few. */
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly now: () => number
  /** Told of environment jobs that have ended, for whoever counts them. */
  readonly jobsEnded?: (environment: string, outcome: 'done' | 'failed', count: number) => void
  /** Told when a process of functions has ended by itself and is started again, for whoever counts them. */
  readonly functionHostLost?: () => void
  /** For the log: something to know of, with what it concerns. */
  readonly warn: (message: string, about: Readonly<Record<string, unknown>>) => void
}
