import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { environmentsAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { formatTable } from '../screen/table.ts'
import { print, printJson, say, type Terminal } from '../screen/terminal.ts'
import { describeHealth } from './health.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('list the environments of a server')
    .description(
      'List the environments of a server: those with names, and those that scripts describe and use now.',
    )
    .action(async (options: CommonOptions & RemoteOptions) => showList(options, terminal))
  addExamples(command, ['molehill environment list', 'molehill environment list --json'])
}

async function showList(options: CommonOptions & RemoteOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const answer = await session.call('environments', {}, environmentsAnswer)
  if (options.json) {
    await printJson(terminal, answer)
    return
  }
  const { environments } = answer
  if (environments.length === 0) {
    say(terminal, 'There are none. Keep one: molehill environment add NAME KIND')
    return
  }
  const rows = environments.map(({ name, kind, named, health, jobs }) => [
    name,
    kind,
    named ? 'yes' : 'no',
    ...[jobs.ready, jobs.submitted, jobs.running, jobs.done, jobs.failed].map(String),
    describeHealth(health, terminal.now()),
  ])
  const header = ['name', 'kind', 'named', 'ready', 'submitted', 'running', 'done', 'failed', 'health']
  await print(terminal, formatTable(header, rows))
}
