import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { startAnswer, stateAnswer } from './remote/answers.ts'
import { openArchiveSource } from './remote/archive-source.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { interruptible } from './screen/interrupts.ts'
import { exitWhenFailed, reportEnd } from './screen/report.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'
import { executionFailedExitCode, watchExecution } from './watch-execution.ts'
import { defaultScript } from './work-directory.ts'

interface StartOptions extends CommonOptions, RemoteOptions {
  readonly script: string
  readonly on?: string
  readonly follow: boolean
}

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('[directory]', 'the work directory, or a tar.gz file of it', '.')
    .option('--script <path>', 'the script, relative to the directory', defaultScript)
    .option('--on <environment>', 'the named environment for jobs that the script leaves on the server')
    .option('--follow', 'show bars and output until it has ended, and end with its exit code', false)
    .action(async (directory: string, options: StartOptions) => start(directory, options, terminal))
  addRemoteOptions(command)
  addExamples(command, [
    'molehill start sandpile                     prints the id of the execution',
    'molehill start sandpile.tgz --script sweep.ts',
    'molehill start sandpile --on cluster        as molehill environment list names it',
    'molehill start sandpile --follow            exit code 0 finished, 6 failed',
  ])
}

async function start(named: string, options: StartOptions, terminal: Terminal): Promise<void> {
  const { script, on: environment, json } = options
  const fields = { script, ...(environment !== undefined && { environment }) }
  const source = await openArchiveSource(named, terminal)
  using session = await connectServer(options, terminal)
  const { id } = await interruptible(
    (signal) => session.post('start', () => ({ fields, file: source() }), startAnswer, signal),
    { first: () => say(terminal, 'Stopped sending.') },
  )
  if (!options.follow) {
    if (json) await printJson(terminal, { id })
    else await print(terminal, `${id}\n`)
    say(terminal, `Started. Watch it: molehill state ${id} --follow`)
    return
  }
  say(terminal, `Started ${id}.`)
  const end = await watchExecution(session, id, terminal, { output: !json })
  if (json) await printJson(terminal, { id, ...(await session.call('state', { id }, stateAnswer)) })
  else reportEnd(terminal, end)
  say(terminal, `Fetch its files: molehill download ${id}`)
  exitWhenFailed(end, executionFailedExitCode)
}
