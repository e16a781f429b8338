import { z } from 'zod'
import { batchOptionsShape } from '../../src/environment/batch/batch-options.ts'
import { batchPlugin } from '../../src/environment/batch/batch-plugin.ts'
import { descriptionShape } from './options.ts'
import { condorScheduler } from './scheduler.ts'

const options = z.strictObject({ ...batchOptionsShape, ...descriptionShape }).omit({ nodes: true })

/** HTCondor, by its commands here or behind SSH. Machines must share the file system of the work directory. */
export const plugin = batchPlugin('condor', options, condorScheduler)
