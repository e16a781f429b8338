import type { z } from 'zod'
import type { Owner } from '../files/hand-over.ts'
import type { Environment } from './environment.ts'
import type { FileDesk } from './file-desk.ts'
import type { SshHosts } from './ssh/ssh-hosts.ts'
import type { VolunteerProject } from './volunteers.ts'

/** What a folder under `environments/` exports as `plugin`: the way to make environments of one kind. */
export interface EnvironmentPlugin<Options = unknown> {
  /** The word that scripts and plans use: `local`, `ssh`, `slurm` ... Equal to the folder's name. */
  readonly kind: string
  /** Checks and completes what a script passed. */
  readonly options: z.ZodType<Options>
  /**
   * Names of the options that are secret: texts such as a password. They are taken from named environments only, kept
   * encrypted, and never shown.
   */
  readonly secrets?: readonly string[]
  /**
   * Names of options that are taken from named environments only, since they let whoever says them do what is the
   * operator's, such as running programs on the server.
   */
  readonly operatorOnly?: readonly string[]
  create(name: string, options: Options, context: PluginContext): Promise<Environment>
}

/** Puts what jobs run on this computer into boxes. */
export interface JobBoxes {
  /**
   * Whether every job is to have a box of its own. Otherwise a box may hold what starts many jobs, one after the other:
   * it keeps them apart from the server, but not from one another.
   */
  readonly isPerJob: boolean
  /** The directory, which the server itself has made, that a file of an execution lies in; other paths as they are. */
  readonly placeOf: (path: string) => string
  /** Whom what jobs write must belong to, where they run as another user than the server. */
  readonly owner?: Owner
  /**
   * The command that runs `command` in a box, where the standard streams and other open files stay as they are. Kills
   * all that runs in it when its own process is killed.
   */
  command(
    command: readonly string[],
    places: {
      readonly directory: string
      readonly readOnly: readonly string[]
      readonly readWrite: readonly string[]
    },
  ): readonly string[]
}

/** What one job on this computer may take; whatever it likes where nothing is said. */
export interface JobLimits {
  /** Private memory of each of its processes. */
  readonly memoryBytes?: number
  /** Largest file that it may write. */
  readonly fileBytes?: number
  /** Most that it may print on each of standard output and standard error. */
  readonly printedBytes?: number
  /** Processes and threads in its box: the box sees to it, where there is one. */
  readonly processes?: number
}

/** What the server gives to every environment. */
export interface PluginContext {
  /** A directory of the environment's own on the server, for job directories and whatever it must remember. */
  readonly directory: string
  /** The server's own environment variables: the environment picks the few that jobs may see. */
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Absent where jobs run as the server does. */
  readonly boxes?: JobBoxes
  /** For jobs on this computer. */
  readonly limits?: JobLimits
  /** Connections that environments share; each makes its own where this is absent. */
  readonly hosts?: SshHosts
  /** Absent where the server takes no volunteers. */
  readonly volunteers?: VolunteerProject
  /** Where jobs may fetch their files from. Absent where nobody can ask this server. */
  readonly fileDesk?: FileDesk
  readonly now: () => number
  /** For a person to read: what went wrong and what was done about it. */
  readonly warn: (message: string) => void
}
