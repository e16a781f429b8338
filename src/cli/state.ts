import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { stateAnswer, type StateAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { readProgress } from './remote/watch.ts'
import { exitWhenFailed, reportEnd } from './screen/report.ts'
import { formatTable } from './screen/table.ts'
import { print, printJson, type Terminal } from './screen/terminal.ts'
import { executionFailedExitCode, watchExecution } from './watch-execution.ts'

interface StateOptions extends CommonOptions, RemoteOptions {
  readonly follow: boolean
}

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .option('--follow', 'show bars until it has ended, and end with its exit code', false)
    .action(async (id: string, options: StateOptions) => showState(id, options, terminal))
  addRemoteOptions(command)
  addExamples(command, [
    'molehill state 0c6f...              how far it is',
    'molehill state 0c6f... --follow     watch it to its end; exit code 0 finished, 6 failed',
    'molehill state 0c6f... --json       as the server tells it',
  ])
}

async function showState(id: string, options: StateOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const end = options.follow ? await watchExecution(session, id, terminal, { output: false }) : undefined
  if (end !== undefined && !options.json) {
    reportEnd(terminal, end)
  } else {
    const answer = await session.call('state', { id }, stateAnswer)
    if (options.json) await printJson(terminal, answer)
    else await print(terminal, describeState(answer))
  }
  if (end !== undefined) exitWhenFailed(end, executionFailedExitCode)
}

function describeState(answer: StateAnswer): string {
  const { state, error, environments } = answer
  const { capsules } = readProgress(answer)
  const reason = error === undefined ? '' : `: ${error.message}`
  return [
    `${state}${reason}\n`,
    ...(error?.stackTrace === undefined ? [] : [`${error.stackTrace.trimEnd()}\n`]),
    ...(capsules.length === 0 ? [] : ['\n', tableOfCapsules(capsules)]),
    ...(environments.length === 0 ? [] : ['\n', tableOfEnvironments(environments)]),
    ...environments.flatMap(({ name, errors }) =>
      errors.map(({ level, message }) => `${name}: ${level}: ${message}\n`),
    ),
  ].join('')
}

function tableOfCapsules(capsules: ReturnType<typeof readProgress>['capsules']): string {
  return formatTable(
    ['capsule', 'ready', 'running', 'completed', 'failed'],
    capsules.map(({ name, ready, running, completed, failed }) => [
      name,
      ...[ready, running, completed, failed].map(String),
    ]),
  )
}

function tableOfEnvironments(environments: StateAnswer['environments']): string {
  return formatTable(
    ['environment', 'submitted', 'running', 'done', 'failed'],
    environments.map(({ name, submitted, running, done, failed }) => [
      name,
      ...[submitted, running, done, failed].map(String),
    ]),
  )
}
