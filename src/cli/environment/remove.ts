import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('forget an environment and its secrets')
    .description('Forget a named environment and its secrets. Not while executions use it.')
    .argument('<name>', 'the environment')
    .action(async (name: string, options: CommonOptions & RemoteOptions) => remove(name, options, terminal))
  addExamples(command, ['molehill environment remove hub'])
}

async function remove(
  name: string,
  options: CommonOptions & RemoteOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const response = await session.fetch('environments/remove', { name })
  response.resume()
  if (options.json) await printJson(terminal, { name })
  else say(terminal, 'It is forgotten.')
}
