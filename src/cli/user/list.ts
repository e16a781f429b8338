import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { usersAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { formatTable, formatTime } from '../screen/table.ts'
import { print, printJson, say, type Terminal } from '../screen/terminal.ts'
import { showBytes } from './settings.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('list the users of a server')
    .description('List the users of a server with what they may take and have, and their keys by id.')
    .action(async (options: CommonOptions & RemoteOptions) => showList(options, terminal))
  addExamples(command, ['molehill user list', 'molehill user list --json'])
}

async function showList(options: CommonOptions & RemoteOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const answer = await session.call('users', {}, usersAnswer)
  if (options.json) {
    await printJson(terminal, answer)
    return
  }
  const { users } = answer
  if (users.length === 0) {
    say(terminal, 'There are none. Add one: molehill user add NAME')
    return
  }
  const rows = users.map(
    ({ name, workflows, submitter, executions, storedBytes, quota, keys, identities }) => [
      name,
      workflows,
      submitter ? 'yes' : 'no',
      String(executions),
      `${showBytes(storedBytes)}${quota.storedBytes === undefined ? '' : ` of ${showBytes(quota.storedBytes)}`}`,
      quota.runningJobs?.toString() ?? '',
      quota.queuedJobs?.toString() ?? '',
      keys.map(({ key, createdAt }) => `${key} (${formatTime(createdAt).slice(0, 10)})`).join(', '),
      identities.map(({ issuer, subject }) => `${subject} at ${issuer}`).join(', '),
    ],
  )
  const header = [
    'name',
    'workflows',
    'submitter',
    'executions',
    'stored',
    'running',
    'queued',
    'keys',
    'identities',
  ]
  await print(terminal, formatTable(header, rows))
}
