import { z } from 'zod'
import {
  batchOptionsShape,
  batchSecrets,
  refuseOptionsInVain,
} from '../../src/environment/batch/batch-options.ts'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { descriptionShape } from './options.ts'
import { condorScheduler } from './scheduler.ts'

const options = z
  .strictObject({ ...batchOptionsShape, ...descriptionShape })
  .omit({ nodes: true })
  .superRefine(refuseOptionsInVain)

export type CondorOptions = z.output<typeof options>

/** HTCondor, by its commands here or behind SSH. Machines must share the file system of the work directory. */
export const plugin: EnvironmentPlugin<CondorOptions> = {
  kind: 'condor',
  options,
  secrets: batchSecrets,
  create: async (name, options, context) =>
    openBatchEnvironment(name, condorScheduler(options), options, context),
}
