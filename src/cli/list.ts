import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { listAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { formatTable, formatTime } from './screen/table.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command.action(async (options: CommonOptions & RemoteOptions) => showList(options, terminal))
  addRemoteOptions(command)
  addExamples(command, ['molehill list', 'molehill list --server https://hub:8443 --json'])
}

async function showList(options: CommonOptions & RemoteOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const executions = await session.call('list', {}, listAnswer)
  if (options.json) {
    await printJson(terminal, executions)
    return
  }
  if (executions.length === 0) {
    say(terminal, 'There are no executions. Start one: molehill start DIR')
    return
  }
  const rows = executions.map(({ id, state = '', name = '', startedAt, endedAt }) => [
    id,
    state,
    name,
    formatTime(startedAt),
    formatTime(endedAt),
  ])
  await print(terminal, formatTable(['id', 'state', 'workflow', 'started', 'ended'], rows))
}
