import type { z } from 'zod'
import type { Environment } from './environment.ts'

/** What a folder under `environments/` exports as `plugin`: the way to make environments of one kind. */
export interface EnvironmentPlugin<Options = unknown> {
  /** The word that scripts and plans use: `local`, `ssh`, `slurm` ... Equal to the folder's name. */
  readonly kind: string
  /** Checks and completes what a script passed. */
  readonly options: z.ZodType<Options>
  create(name: string, options: Options, context: PluginContext): Promise<Environment>
}

/** What the server gives to every environment. */
export interface PluginContext {
  /** A directory of the environment's own on the server, for job directories and whatever it must remember. */
  readonly directory: string
  /** The server's own environment variables: the environment picks the few that jobs may see. */
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly now: () => number
  /** For a person to read: what went wrong and what was done about it. */
  readonly warn: (message: string) => void
}
