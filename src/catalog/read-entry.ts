import type { Isolation } from '../isolation/isolation.ts'
import { Problem } from '../problem.ts'
import type { Evaluation } from '../script/contract.ts'
import { evaluateScript } from '../script/evaluate.ts'
import type { PlanDescription } from '../workflow/plan.ts'
import { findEntryScript } from './entry-script.ts'

/** How scripts are evaluated: as at the start of an execution. */
export interface ReadingSettings {
  readonly scriptTimeMs: number
  readonly scriptMemoryBytes: number
  readonly isolation?: Isolation
  /** The environment variables of the server, of which scripts see harmless ones. */
  readonly variables: Readonly<Record<string, string | undefined>>
}

/** What the folder of an entry says. */
export interface EntryReading {
  readonly script: string
  /** Absent where the script does not describe itself. */
  readonly description: PlanDescription | undefined
  /** All that the script says; absent where that is too much to be kept. */
  readonly evaluation: Evaluation | undefined
}

const scriptOutputBytes = 2 ** 20
/** Descriptions are kept in memory. */
const descriptionCharacters = 128 * 1024
/** And so are plans of this length. */
const planCharacters = 256 * 1024

/** Evaluates the script of a folder in its box. Throws Problem script-missing, script-invalid, workflow-invalid. */
export async function readEntry(
  settings: ReadingSettings,
  directory: string,
  signal: AbortSignal,
): Promise<EntryReading> {
  const { scriptTimeMs, scriptMemoryBytes, isolation, variables } = settings
  const script = await findEntryScript(directory)
  const evaluation = await evaluateScript({
    workDirectory: directory,
    script,
    limits: { timeMs: scriptTimeMs, memoryBytes: scriptMemoryBytes, outputBytes: scriptOutputBytes },
    environment: variables,
    ...(isolation !== undefined && { isolation }),
    signal,
  })
  const { plan } = evaluation
  const { description } = plan
  const length = JSON.stringify(description ?? null).length
  if (length > descriptionCharacters)
    throw new Problem(
      'workflow-invalid',
      `The description of the workflow has ${length} characters; expected at most ${descriptionCharacters}.`,
      { hint: 'Put long defaults and explanations into files.' },
    )
  const isKept = JSON.stringify(evaluation).length <= planCharacters
  return { script: plan.script, description, evaluation: isKept ? evaluation : undefined }
}
