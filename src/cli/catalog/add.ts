import type { Command } from 'commander'
import { basename, resolve } from 'node:path'
import { addExamples, type CommonOptions } from '../command.ts'
import { workflowAnswer } from '../remote/answers.ts'
import { openArchiveSource } from '../remote/archive-source.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { interruptible } from '../screen/interrupts.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'

interface AddOptions extends CommonOptions, RemoteOptions {
  readonly name?: string
}

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('install a workflow on a server')
    .description('Install a directory whose script describes itself, so that it can be started by name.')
    .argument('<directory>', 'the directory, or a tar.gz file of it')
    .option('--name <name>', 'the name; else that of the directory')
    .action(async (directory: string, options: AddOptions) => add(directory, options, terminal))
  addExamples(command, ['molehill catalog add sandpile', 'molehill catalog add . --name sandpile-2'])
  command.addHelpText(
    'after',
    '\nThe script is workflow.ts, or the one that package.json names as its "main". It ends in .describe({ ... }).',
  )
}

async function add(named: string, options: AddOptions, terminal: Terminal): Promise<void> {
  const name =
    options.name ?? basename(resolve(terminal.currentDirectory, named)).replace(/\.(?:tar\.gz|tgz)$/, '')
  const source = await openArchiveSource(named, terminal)
  using session = await connectServer(options, terminal)
  const makeForm = () => ({ fields: { name }, files: [source()] })
  const answer = await interruptible(
    (signal) => session.post('catalog/add', makeForm, workflowAnswer, signal),
    { first: () => say(terminal, 'Stopped sending.') },
  )
  if (options.json) await printJson(terminal, answer)
  else say(terminal, `Added ${name}. What it takes: molehill describe ${name}`)
}
