import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveConfiguration } from '../config/configuration.ts'
import type { Executions } from '../engine/contract.ts'
import { createExecutions } from '../engine/executions.ts'
import { probeIsolation } from '../isolation/probe.ts'
import { removeTree } from '../files/remove-tree.ts'
import { Problem } from '../problem.ts'
import { oneLine } from './screen/table.ts'
import { paint, say, type Terminal } from './screen/terminal.ts'

/** An engine in this process that keeps nothing. */
export interface LocalEngine extends AsyncDisposable {
  readonly executions: Executions
  /** Where it lies while it lives. */
  readonly dataDirectory: string
}

/** Starts an engine on a temporary data directory, which goes with it. Its options are those of the server. */
export async function openLocalEngine(
  terminal: Terminal,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<LocalEngine> {
  const { variables, currentDirectory, now } = terminal
  const { values } = await resolveConfiguration({ flags, env: variables, currentDirectory })
  const { slots, scriptTimeMs, scriptMemoryBytes, outputBytes } = values
  if (values.taskUser !== undefined)
    throw new Problem(
      'configuration-invalid',
      'A workflow without a server uses its directory where it lies, as whoever runs it; its tasks cannot run as another user.',
      { hint: 'Unset taskUser (MOLEHILL_TASK_USER), or start the workflow on a server.' },
    )
  const dataDirectory = await mkdtemp(join(tmpdir(), 'molehill-run-'))
  const label = paint(terminal, terminal.stderr, 'yellow', 'warning:')
  const warn = (message: string) => say(terminal, `${label} ${oneLine(message)}`)
  try {
    const isolation = await probeIsolation(values.isolation, variables)
    if (isolation.isWeaker) warn(isolation.report)
    const executions = await createExecutions({
      dataDirectory,
      slots,
      scriptTimeMs,
      scriptMemoryBytes,
      outputBytes,
      isolation,
      taskNetwork: values.taskNetwork,
      taskPaths: values.taskPaths.split(':').filter((path) => path.startsWith('/')),
      variables,
      now,
      warn,
    })
    return {
      executions,
      dataDirectory,
      async [Symbol.asyncDispose]() {
        await executions.close()
        await removeTree(dataDirectory)
      },
    }
  } catch (error) {
    await removeTree(dataDirectory)
    throw error
  }
}
