import { join } from 'node:path'
import { excitingDialect } from '../api/exciting/dialect.ts'
import { hookCalculations, keptByHooks, type Hooks } from '../api/exciting/hook-calculations.ts'
import { runCalculations } from '../api/exciting/run-calculations.ts'
import type { Dialect } from '../api/route.ts'
import { readEntryEnvironments } from '../catalog/entry-environments.ts'
import { isLoopback } from '../config/loopback.ts'
import type { Configuration } from '../config/options.ts'
import { processVariables } from '../config/process-variables.ts'
import { Problem } from '../problem.ts'
import type { DialectRooms } from './dialects.ts'

/** Opens the calculation service of exciting@web. Throws Problem configuration-invalid. */
export function openExciting({
  configuration,
  executions,
  catalog,
  authentication,
}: DialectRooms): Dialect | undefined {
  if (!configuration.exciting) return undefined
  const { excitingOpen: isOpen, excitingStrict: isStrict, excitingPath: mount, host } = configuration
  if (isOpen && !isLoopback(host))
    throw new Problem(
      'configuration-invalid',
      `exciting-open needs a loopback address; the server listens on ${host}.`,
      {
        hint: 'Listen on 127.0.0.1, or give the users keys: molehill user key NAME',
      },
    )
  const hooks = readHooks(configuration)
  const calculations =
    hooks === undefined
      ? runCalculations({
          catalog,
          executions,
          workflow: 'exciting',
          program: configuration.excitingProgram,
          environment: readEntryEnvironments(configuration.catalogEnvironments ?? '').get('exciting'),
        })
      : hookCalculations(hooks)
  return excitingDialect({
    mount,
    calculations,
    authentication,
    isOpen,
    isStrict,
    ...(hooks !== undefined && { kept: keptByHooks(hooks) }),
  })
}

const hookTimeMs = 60_000

function readHooks({
  dataDirectory,
  excitingStart: startCalculation,
  excitingStatus: getStatus,
  excitingStop: stopCalculation,
}: Configuration): Hooks | undefined {
  if (startCalculation === undefined) return undefined
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME } = processVariables
  return {
    directory: join(dataDirectory, 'exciting'),
    startCalculation,
    getStatus,
    stopCalculation,
    timeoutMs: hookTimeMs,
    variables: { PATH, ...(HOME !== undefined && { HOME }) },
  }
}
