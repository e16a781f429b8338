import { z } from 'zod'
import { batchOptionsShape } from '../../src/environment/batch/batch-options.ts'
import { batchPlugin } from '../../src/environment/batch/batch-plugin.ts'
import { directiveShape } from './options.ts'
import { pbsScheduler } from './scheduler.ts'

const options = z.strictObject({ ...batchOptionsShape, ...directiveShape })

/** PBS Professional, OpenPBS and Torque, by their commands here or behind SSH. */
export const plugin = batchPlugin('pbs', options, pbsScheduler)
