import type { Command } from 'commander'
import { describeOrigin, resolveConfiguration } from '../config/configuration.ts'
import { optionKeys, options, spellings } from '../config/options.ts'
import { showConfiguration } from '../config/show.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { addServerOptions, splitServerFlags } from './server-options.ts'
import { print, printJson, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  const show = command
    .command('show', { isDefault: true })
    .description('Show the options of the server in effect, and where each comes from.')
    .action(async (flags: CommonOptions) => showConfig(flags, terminal))
  addServerOptions(show)
  const examples = ['molehill config show', 'molehill config show --port 9000 --json']
  addExamples(command, examples)
  addExamples(show, examples)
}

async function showConfig(given: CommonOptions, terminal: Terminal): Promise<void> {
  const { json, flags } = splitServerFlags(given)
  const { variables, currentDirectory } = terminal
  const resolved = await resolveConfiguration({ flags, env: variables, currentDirectory })
  if (!json) {
    await print(terminal, showConfiguration(resolved))
    return
  }
  const rows = optionKeys.map((key) => {
    const value = resolved.values[key] ?? null
    return [
      spellings(options[key].name).member,
      { value, origin: describeOrigin(resolved.origins[key]) },
    ] as const
  })
  await printJson(terminal, { file: resolved.file ?? null, options: Object.fromEntries(rows) })
}
