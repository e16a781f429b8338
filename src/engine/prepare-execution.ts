import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { handOver } from '../files/hand-over.ts'
import type { Evaluation } from '../script/contract.ts'
import { evaluateScript } from '../script/evaluate.ts'
import { withDefaultEnvironment } from '../workflow/default-environment.ts'
import { named } from '../workflow/environment.ts'
import type { StartRequest } from './contract.ts'
import type { EngineSettings } from './settings.ts'

/** A script that prints more while it is read is ended. */
const scriptOutputBytes = 1024 * 1024

/** A work directory that is there, and what its script says. */
export interface PreparedExecution {
  readonly evaluation: Evaluation
  readonly workDirectory: string
}

/**
 * Fills a work directory below `directory`, which must not exist, and evaluates the script in it, unless `fill` tells
 * what it says. Throws Problem.
 */
export async function prepareExecution(
  settings: EngineSettings,
  request: StartRequest,
  directory: string,
): Promise<PreparedExecution> {
  await mkdir(directory, { mode: 0o700 })
  const workDirectory = 'directory' in request ? request.directory : join(directory, 'work')
  const { scriptTimeMs, scriptMemoryBytes, isolation } = settings
  let known: Evaluation | undefined
  if ('fill' in request) {
    known = (await request.fill(workDirectory)) ?? undefined
    if (isolation?.taskUser !== undefined) await handOver(workDirectory, isolation.taskUser)
  }
  const evaluation =
    known?.plan.script === request.script
      ? known
      : await evaluateScript({
          workDirectory,
          script: request.script,
          limits: { timeMs: scriptTimeMs, memoryBytes: scriptMemoryBytes, outputBytes: scriptOutputBytes },
          environment: settings.variables,
          ...(isolation !== undefined && { isolation }),
          signal: request.signal,
        })
  const { environment, name = evaluation.plan.name } = request
  const placed =
    environment === undefined ? evaluation.plan : withDefaultEnvironment(evaluation.plan, named(environment))
  const plan = { ...placed, name }
  return { evaluation: { ...evaluation, plan }, workDirectory }
}
