import { mkdir, realpath } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { handOver } from '../files/hand-over.ts'
import { OutputLog } from '../files/output-log.ts'
import type { Precedence } from '../job/attempt-source.ts'
import type { EnvironmentTracker } from '../job/tracker.ts'
import type { Isolation } from '../isolation/isolation.ts'
import { toProblem } from '../problem.ts'
import type { FunctionHost } from '../script/contract.ts'
import { startFunctionHost } from '../script/function-host.ts'
import type { Runtime } from '../script/runtime.ts'
import type { Database } from '../store/database.ts'
import type { Plan } from '../workflow/plan.ts'
import type { JobAllowance } from './job-allowance.ts'
import { Run } from './run.ts'
import type { EngineSettings } from './settings.ts'
import { unlimited } from './start-queue.ts'
import { taskView } from './task-boxes.ts'

/** A run and what was opened for it. Whoever has it closes the host when the run has ended. */
export interface OpenedRun {
  readonly run: Run
  readonly host: FunctionHost
  readonly output: OutputLog
}

/** What an execution's run is made of. `directory` is the execution's own. */
export interface RunParts {
  readonly id: string
  readonly plan: Plan
  readonly journal: Database
  readonly directory: string
  readonly workDirectory: string
  readonly trackers: readonly EnvironmentTracker[]
  /** What function tasks need on other computers. */
  readonly runtime: Runtime
  /** How many jobs may run, where that is limited. */
  readonly allowance: JobAllowance | undefined
  readonly precedence: Precedence | undefined
}

/** Makes the run of an execution, with its output and its function host. It does not begin yet. */
export async function openRun(
  settings: EngineSettings,
  { id, plan, journal, directory, workDirectory: given, trackers, runtime, allowance, precedence }: RunParts,
): Promise<OpenedRun> {
  const { slots, now, variables, isolation, scriptMemoryBytes } = settings
  // Functions tell files by their real paths.
  const workDirectory = await realpath(given)
  const own = `${await realpath(directory)}/`
  const filesDirectory = join(directory, 'files')
  await mkdir(filesDirectory, { recursive: true, mode: 0o700 })
  await giveToTasks(isolation, directory)
  const warn = (message: string): void => settings.warn(message, { executionId: id })
  const output = await openOutput(settings, directory)
  const display = async (text: string): Promise<void> =>
    output.append(text).catch((error: unknown) => warn(`Output is lost: ${toProblem(error).message}`))
  const host = startFunctionHost(
    { workDirectory, script: plan.script, modulesDirectory: join(directory, 'modules') },
    {
      threads: slots,
      memoryBytes: scriptMemoryBytes,
      environment: variables,
      ...(isolation !== undefined && { isolation }),
      view: taskView(settings, { readOnly: [], readWrite: [workDirectory, filesDirectory] }),
      onOutput: (text) => void display(text),
      warn,
      ...(settings.functionHostLost !== undefined && { lost: settings.functionHostLost }),
    },
  )
  const run = new Run({
    id,
    plan,
    journal,
    trackers,
    host,
    allowance,
    precedence,
    display,
    hookOutput: {
      openedBytes: output.totalBytes,
      append: async (text, placed) => output.appendAt(text, placed),
    },
    runtime: () => runtime,
    maxJobs: (settings.limits ?? unlimited).maxJobs,
    now,
    jobsEnded: settings.jobsEnded ?? (() => undefined),
    warn,
    paths: {
      workDirectory,
      filesDirectory,
      attemptsDirectory: join(directory, 'attempts'),
      logsDirectory: join(directory, 'logs'),
      modulesDirectory: join(directory, 'modules'),
      // A directory that `molehill run` uses in place may well have its data elsewhere.
      ...(workDirectory.startsWith(own) && { linksWithin: own.slice(0, -1) }),
    },
  })
  return { run, host, output }
}

/** Gives what tasks may write or read to their user; one that was interrupted may have belonged to another. */
async function giveToTasks(isolation: Isolation | undefined, directory: string): Promise<void> {
  const owner =
    isolation?.taskUser ??
    (isolation?.isRoot === true && isolation.wish === 'required' ? { userId: 0, groupId: 0 } : undefined)
  if (owner === undefined) return
  for (const name of ['work', 'files', 'modules']) {
    const path = join(directory, name)
    // The work directory may be one that is used where it lies.
    if (existsSync(path)) await handOver(path, owner)
  }
}

/** The output of an execution, half of what is kept for its beginning and half for its end. */
export async function openOutput({ outputBytes }: EngineSettings, directory: string): Promise<OutputLog> {
  const half = Math.ceil(outputBytes / 2)
  return OutputLog.open(directory, { headBytes: half, tailBytes: half })
}
