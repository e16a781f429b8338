import { randomUUID } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { LocalEnvironment } from './environment.ts'
import { removeLeftovers } from './leftovers.ts'

const options = z.strictObject({
  /** How many jobs run at once; a job that asks for n cpus takes n of them. */
  slots: z
    .int()
    .min(1)
    .max(1024)
    .default(() => availableParallelism()),
  /** How long a job may go on after it was asked to end; then it is killed. */
  stopGraceMs: z.int().min(0).max(3_600_000).default(10_000),
  /** Variables of every job, besides the few that pass from the server. */
  env: z.record(z.string().regex(/^[^=\0]+$/), z.string()).default({}),
})

export type LocalOptions = z.output<typeof options>

/** This computer: jobs are started by a few launcher shells, so many at once as there are slots. */
export const plugin: EnvironmentPlugin<LocalOptions> = {
  kind: 'local',
  options,
  async create(name, options, context) {
    mkdirSync(context.directory, { recursive: true, mode: 0o700 })
    const directory = realpathSync.native(context.directory)
    await removeLeftovers(directory, context.warn)
    const environment = new LocalEnvironment(name, options, {
      directory,
      variables: context.variables,
      ...(context.boxes !== undefined && { boxes: context.boxes }),
      limits: context.limits ?? {},
      warn: context.warn,
      newSecret: randomUUID,
    })
    await environment.start()
    return environment
  },
}
