import { z } from 'zod'
import {
  batchOptionsShape,
  batchSecrets,
  refuseOptionsInVain,
} from '../../src/environment/batch/batch-options.ts'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { directiveShape } from './options.ts'
import { pbsScheduler } from './scheduler.ts'

const options = z.strictObject({ ...batchOptionsShape, ...directiveShape }).superRefine(refuseOptionsInVain)

export type PbsOptions = z.output<typeof options>

/** PBS Professional, OpenPBS and Torque, by their commands here or behind SSH. */
export const plugin: EnvironmentPlugin<PbsOptions> = {
  kind: 'pbs',
  options,
  secrets: batchSecrets,
  create: async (name, options, context) =>
    openBatchEnvironment(name, pbsScheduler(options), options, context),
}
