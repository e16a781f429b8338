import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { catalogAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { formatTable } from '../screen/table.ts'
import { print, printJson, say, type Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('list the workflows that can be started by name')
    .description('List the workflows that can be started by name, and those that are broken.')
    .action(async (options: CommonOptions & RemoteOptions) => showList(options, terminal))
  addExamples(command, ['molehill catalog list', 'molehill catalog list --json'])
}

async function showList(options: CommonOptions & RemoteOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const answer = await session.call('catalog', {}, catalogAnswer)
  if (options.json) {
    await printJson(terminal, answer)
    return
  }
  const { workflows } = answer
  if (workflows.length === 0) {
    say(terminal, 'There are none. Install one: molehill catalog add DIR')
    return
  }
  const rows = workflows.map(({ name, origin, category, title, error }) => [
    name,
    origin,
    category,
    error === undefined ? title : `broken: ${error}`,
  ])
  await print(terminal, formatTable(['name', 'origin', 'category', 'title'], rows))
}
