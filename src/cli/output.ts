import type { Command } from 'commander'
import type { z } from 'zod'
import { addExamples, type CommonOptions } from './command.ts'
import { outputAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { print, printJson, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .action(async (id: string, options: CommonOptions & RemoteOptions) => showOutput(id, options, terminal))
  addRemoteOptions(command)
  addExamples(command, ['molehill output 0c6f...', 'molehill output 0c6f... > output.txt'])
}

async function showOutput(
  id: string,
  options: CommonOptions & RemoteOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const answer = await session.call('output', { id }, outputAnswer)
  if (options.json) await printJson(terminal, answer)
  else await print(terminal, [answer.output, ...answer.running.map(printing)].reduce(onOwnLine))
}

function printing({ subject, text }: z.infer<typeof outputAnswer>['running'][number]): string {
  return `[${subject} is running and has printed so far:]\n${text}`
}

function onOwnLine(before: string, text: string): string {
  return before === '' || before.endsWith('\n') ? before + text : `${before}\n${text}`
}
