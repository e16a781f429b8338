import type { Command } from 'commander'
import { Problem } from '../problem.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { collectInputs, inputOption, inputParts, inputsHelp, readInputs } from './inputs.ts'
import { startAnswer, stateAnswer } from './remote/answers.ts'
import { openArchiveSource } from './remote/archive-source.ts'
import type { Form } from './remote/multipart.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { interruptible } from './screen/interrupts.ts'
import { exitWhenFailed, reportEnd } from './screen/report.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'
import { executionFailedExitCode, watchExecution } from './watch-execution.ts'
import { defaultScript } from './work-directory.ts'

interface StartOptions extends CommonOptions, RemoteOptions {
  readonly script?: string
  readonly workflow?: string
  readonly input: readonly string[]
  readonly on?: string
  readonly follow: boolean
}

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('[directory]', 'the work directory, or a tar.gz file of it; else this one')
    .option('--script <path>', `the script, relative to the directory (else ${defaultScript})`)
    .option('--workflow <name>', 'a workflow of the catalog of the server, instead of a directory')
    .option(inputOption, 'an input; may be repeated, and @FILE sends a file', collectInputs, [])
    .option('--on <environment>', 'the named environment for jobs that the script leaves on the server')
    .option('--follow', 'show bars and output until it has ended, and end with its exit code', false)
    .action(async (directory: string | undefined, options: StartOptions) =>
      start(directory, options, terminal),
    )
  addRemoteOptions(command)
  addExamples(command, [
    'molehill start sandpile                     prints the id of the execution',
    'molehill start sandpile.tgz --script sweep.ts',
    'molehill start sandpile --on cluster        as molehill environment list names it',
    'molehill start sandpile --follow            exit code 0 finished, 6 failed',
    'molehill start --workflow influenza --input samples=500 --input record=@days.csv',
  ])
  command.addHelpText('after', inputsHelp)
}

async function start(named: string | undefined, options: StartOptions, terminal: Terminal): Promise<void> {
  const { json } = options
  const makeForm = await prepareForm(named, options, terminal)
  using session = await connectServer(options, terminal)
  const { id } = await interruptible((signal) => session.post('start', makeForm, startAnswer, signal), {
    first: () => say(terminal, 'Stopped sending.'),
  })
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

async function prepareForm(
  named: string | undefined,
  { script, workflow, input, on: environment }: StartOptions,
  terminal: Terminal,
): Promise<() => Form> {
  const inputs = await readInputs(input, terminal.currentDirectory)
  const shared = {
    ...(environment !== undefined && { environment }),
    ...(Object.keys(inputs.values).length > 0 && { inputs: JSON.stringify(inputs.values) }),
  }
  if (workflow === undefined) {
    const source = await openArchiveSource(named ?? '.', terminal)
    const fields = { ...shared, script: script ?? defaultScript }
    return () => ({ fields, files: [source(), ...inputParts(inputs)] })
  }
  if (named !== undefined || script !== undefined)
    throw new Problem('parameter-invalid', 'Expected a directory or --workflow, got both.', {
      hint: 'A workflow of the catalog has its own directory and script: name only one of the two.',
    })
  return () => ({ fields: { ...shared, workflow }, files: inputParts(inputs) })
}
