import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .action(async (id: string, options: CommonOptions & RemoteOptions) => remove(id, options, terminal))
  addRemoteOptions(command)
  addExamples(command, ['molehill remove 0c6f...'])
}

async function remove(id: string, options: CommonOptions & RemoteOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const response = await session.fetch('remove', { id })
  response.resume()
  if (options.json) await printJson(terminal, { id })
  else say(terminal, 'It is gone, and so are its files.')
}
