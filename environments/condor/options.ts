import { z } from 'zod'
import { extraDirectives, oneLine, schedulerName } from '../../src/environment/batch/option-shapes.ts'

/** Commands of a submit description that would undo what makes jobs findable, or run one job twice. */
const ours =
  /^\s*(\+?JobBatchName|batch_name|executable|arguments|queue|output|error|log|initialdir|universe|hold|max_retries|on_exit_remove|on_exit_hold|transfer_executable|environment)\b/i

/** What becomes lines of the submit description. */
export const descriptionShape = {
  /** An expression that a machine must meet: `OpSysAndVer == "Debian12"`. */
  requirements: oneLine.optional(),
  accountingGroup: schedulerName.optional(),
  /** What happens with files: jobs use shared ones, unless HTCondor finds that a machine shares none. */
  shouldTransferFiles: z.enum(['NO', 'IF_NEEDED']).default('IF_NEEDED'),
  extraDirectives: extraDirectives(
    (line) => /^\+?\w+\s*=/.test(line) && !ours.test(line),
    'a command such as "+ProjectName = \\"x\\"", and none that names, places, holds or repeats jobs',
  ),
  /** Most jobs in one submission. */
  maxArraySize: z.int().min(1).max(1_000_000).default(1000),
}

const descriptionOptions = z.strictObject(descriptionShape)
export type CondorDescriptionOptions = z.output<typeof descriptionOptions>
