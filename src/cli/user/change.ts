import type { Command } from 'commander'
import { addExamples } from '../command.ts'
import { connectServer } from '../remote/remote-options.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'
import { addSettings, readSettings, type SettingOptions } from './settings.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('change what a user may do')
    .description('Change what is given of a user, and leave the rest as it is.')
    .argument('<name>', 'the user')
    .action(async (name: string, options: SettingOptions) => change(name, options, terminal))
  addSettings(command)
  addExamples(command, [
    'molehill user change ann --workflows any',
    'molehill user change ann --storage none --submitter',
  ])
}

async function change(name: string, options: SettingOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const response = await session.fetch('users/change', { name, ...readSettings(options) })
  response.resume()
  if (options.json) await printJson(terminal, { name })
  else say(terminal, 'It is changed.')
}
