import { z } from 'zod'
import { extraDirectives, optionsIn, schedulerName } from '../../src/environment/batch/option-shapes.ts'

/** Options that would undo what makes jobs findable, or run one job twice. */
const ours = /^-[NJtoejkrRdDSIWzhf]/

/** What becomes lines of the job script. */
export const directiveShape = {
  /** Which PBS it is: `pbspro` for PBS Professional and OpenPBS. */
  flavour: z.enum(['torque', 'pbspro']),
  queue: schedulerName.optional(),
  account: schedulerName.optional(),
  project: schedulerName.optional(),
  extraDirectives: extraDirectives(
    (line) => line.startsWith('-') && !optionsIn(line).some((option) => ours.test(option)),
    'an option of qsub without #PBS, such as "-m e", and none that names, places, holds or repeats jobs',
  ),
  /** Most jobs in one submission. The cluster's max_array_size, or less. */
  maxArraySize: z.int().min(1).max(1_000_000).default(1000),
}

const directiveOptions = z.strictObject(directiveShape)
export type PbsDirectiveOptions = z.output<typeof directiveOptions>
export type PbsFlavour = PbsDirectiveOptions['flavour']
