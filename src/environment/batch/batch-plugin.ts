import type { z } from 'zod'
import type { EnvironmentPlugin } from '../plugin.ts'
import { batchSecrets, refuseOptionsInVain, type BatchOptions } from './batch-options.ts'
import { sshOperatorOnly } from '../ssh/options.ts'
import { openBatchEnvironment } from './open-batch-environment.ts'
import type { Scheduler } from './scheduler.ts'

/**
 * The plugin of a scheduler that is used by its commands alone, here or behind SSH. `options` are strict: those of
 * `batchOptionsShape` and the scheduler's own. What is secret, and what scripts may not say, is known here.
 */
export function batchPlugin<Options extends BatchOptions>(
  kind: string,
  options: z.ZodType<Options>,
  schedulerOf: (options: Options) => Scheduler,
): EnvironmentPlugin<Options> {
  return {
    kind,
    options: options.superRefine(refuseOptionsInVain),
    secrets: batchSecrets,
    operatorOnly: sshOperatorOnly,
    create: async (name, given, context) => openBatchEnvironment(name, schedulerOf(given), given, context),
  }
}
