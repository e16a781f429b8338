import { z } from 'zod'
import {
  extraDirectives,
  oneLine,
  oneOrMany,
  optionsIn,
  schedulerName,
} from '../../src/environment/batch/option-shapes.ts'

/** Options that would undo what makes jobs findable, or run one job twice. */
const ours = /^-(N|t|r|o|e|j|wd|cwd|terse|sync|b|S|verify|now|h|hold_jid)\b/

/** What becomes lines of the job script. */
export const directiveShape = {
  /** Which queue, or several of which SGE takes one: `all.q,long.q`. */
  queue: oneLine.regex(/^[\w.@*!|&-]+(,[\w.@*!|&-]+)*$/, { error: 'expected names of queues' }).optional(),
  project: schedulerName.optional(),
  /** The parallel environment that gives several processors on one node. */
  parallelEnvironment: schedulerName.default('smp'),
  /** Resources as `-l` takes them: `gpu=1`, `hostname=node7`. */
  resources: oneOrMany(
    oneLine.regex(/^[\w.]+=[^,\s"'\\]+$/, { error: 'expected resources such as gpu=1' }),
  ).default([]),
  extraDirectives: extraDirectives(
    (line) => line.startsWith('-') && !optionsIn(line).some((option) => ours.test(option)),
    'an option of qsub without #$, such as "-m e", and none that names, places, holds or repeats jobs',
  ),
  /** Most jobs in one submission. The cluster's max_aj_tasks, or less. */
  maxArraySize: z.int().min(1).max(1_000_000).default(1000),
}

const directiveOptions = z.strictObject(directiveShape)
export type SgeDirectiveOptions = z.output<typeof directiveOptions>
