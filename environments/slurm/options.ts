import { z } from 'zod'
import {
  extraDirectives,
  oneLine,
  oneOrMany,
  optionsIn,
  schedulerName,
} from '../../src/environment/batch/option-shapes.ts'

/** Options that would undo what makes jobs findable: also those that send them to another cluster. */
const ours =
  /^(--(array|job-name|output|error|open-mode|chdir|requeue|parsable|wrap|wait|test-only|clusters)\b|-[aJoeDWQM])/

/** What becomes lines of the job script. */
export const directiveShape = {
  /** Which partition, or several of which Slurm takes the first that has room: `short,long`. */
  partition: oneLine
    .regex(/^[\w.@:+-]+(,[\w.@:+-]+)*$/, { error: 'expected names of partitions' })
    .optional(),
  account: schedulerName.optional(),
  qos: schedulerName.optional(),
  /** Generic resources besides `gpus`, each as Slurm writes them: `gpu:a100:2`, `nvme`. */
  gres: oneOrMany(schedulerName).default([]),
  tasks: z.int().min(1).max(1_000_000).optional(),
  /** Features that nodes must have; several must all be there. */
  constraint: oneOrMany(
    oneLine.regex(/^[\w.:+*&|()[\]-]+$/, { error: 'expected names of features' }),
  ).default([]),
  reservation: schedulerName.optional(),
  wckey: schedulerName.optional(),
  exclusive: z.boolean().default(false),
  extraDirectives: extraDirectives(
    (line) => line.startsWith('-') && !optionsIn(line).some((option) => ours.test(option)),
    'an option of sbatch without #SBATCH, such as "--mail-type=END", and none that names, places or repeats jobs',
  ),
  /** Most jobs in one submission. The cluster's MaxArraySize less one, or less. */
  maxArraySize: z.int().min(1).max(1_000_000).default(1000),
}

const directiveOptions = z.strictObject(directiveShape)
export type SlurmDirectiveOptions = z.output<typeof directiveOptions>
