import type { Command } from 'commander'
import { addExamples } from '../command.ts'
import { connectServer } from '../remote/remote-options.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'
import { addSettings, readSettings, type SettingOptions } from './settings.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('add a user')
    .description(
      'Add a user. He sees and touches only what is his own, and needs a key or an identity to come in.',
    )
    .argument('<name>', 'the name: small letters, digits, dots, hyphens and underscores')
    .action(async (name: string, options: SettingOptions) => add(name, options, terminal))
  addSettings(command)
  addExamples(command, [
    'molehill user add ann --storage 20GiB --running-jobs 16',
    'molehill user add bob --identity https://idp.example 7f3a-81',
  ])
}

async function add(name: string, options: SettingOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const response = await session.fetch('users/add', { name, ...readSettings(options) })
  response.resume()
  if (options.json) await printJson(terminal, { name })
  else say(terminal, `Added ${name}. Make a key for him: molehill user key ${name}`)
}
