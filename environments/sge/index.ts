import { z } from 'zod'
import {
  batchOptionsShape,
  batchSecrets,
  refuseOptionsInVain,
} from '../../src/environment/batch/batch-options.ts'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { directiveShape } from './options.ts'
import { sgeScheduler } from './scheduler.ts'

const options = z
  .strictObject({ ...batchOptionsShape, ...directiveShape })
  .omit({ gpus: true, nodes: true })
  .superRefine(refuseOptionsInVain)

export type SgeOptions = z.output<typeof options>

/** Sun Grid Engine and its successors, by their commands here or behind SSH. */
export const plugin: EnvironmentPlugin<SgeOptions> = {
  kind: 'sge',
  options,
  secrets: batchSecrets,
  create: async (name, options, context) =>
    openBatchEnvironment(name, sgeScheduler(options), options, context),
}
