import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('remove an installed workflow')
    .description('Remove an installed workflow. Executions of it go on, and keep their files.')
    .argument('<name>', 'the workflow')
    .action(async (name: string, options: CommonOptions & RemoteOptions) => remove(name, options, terminal))
  addExamples(command, ['molehill catalog remove sandpile'])
}

async function remove(
  name: string,
  options: CommonOptions & RemoteOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const response = await session.fetch('catalog/remove', { name })
  response.resume()
  if (options.json) await printJson(terminal, { name })
  else say(terminal, 'It is removed.')
}
