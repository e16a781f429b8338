import type { EnvironmentPlugin } from '../plugin.ts'
import { batchSecrets, type BatchOptions } from './batch-options.ts'
import { sshOperatorOnly } from '../ssh/options.ts'
import { openBatchEnvironment } from './open-batch-environment.ts'
import type { Scheduler } from './scheduler.ts'

/** The plugin of a scheduler that is used by its commands alone, here or behind SSH. */
export function batchPlugin<Options extends BatchOptions>(
  kind: string,
  options: EnvironmentPlugin<Options>['options'],
  schedulerOf: (options: Options) => Scheduler,
): EnvironmentPlugin<Options> {
  return {
    kind,
    options,
    secrets: batchSecrets,
    operatorOnly: sshOperatorOnly,
    create: async (name, given, context) => openBatchEnvironment(name, schedulerOf(given), given, context),
  }
}
