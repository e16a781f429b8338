import { z } from 'zod'
import { batchOptionsShape } from '../../src/environment/batch/batch-options.ts'
import { batchPlugin } from '../../src/environment/batch/batch-plugin.ts'
import { directiveShape } from './options.ts'
import { sgeScheduler } from './scheduler.ts'

const options = z.strictObject({ ...batchOptionsShape, ...directiveShape }).omit({ gpus: true, nodes: true })

/** Sun Grid Engine and its successors, by their commands here or behind SSH. */
export const plugin = batchPlugin('sge', options, sgeScheduler)
