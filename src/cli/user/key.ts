import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { keyAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { print, printJson, say, type Terminal } from '../screen/terminal.ts'

interface KeyOptions extends CommonOptions, RemoteOptions {
  readonly remove?: string
}

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('make or remove a key of a user')
    .description('Make a key for a user and print it, once: the server keeps its hash only. Or remove one.')
    .argument('<name>', 'the user')
    .option('--remove <id>', 'remove the key of that id instead: it is void at once')
    .action(async (name: string, options: KeyOptions) => handleKey(name, options, terminal))
  addExamples(command, ['molehill user key ann > ann.key', 'molehill user key ann --remove 5f0c9a1b2d3e'])
}

async function handleKey(name: string, options: KeyOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  if (options.remove !== undefined) {
    const response = await session.fetch('users/keys/remove', { name, key: options.remove })
    response.resume()
    if (options.json) await printJson(terminal, { name, id: options.remove })
    else say(terminal, 'It is void.')
    return
  }
  const answer = await session.call('users/keys/add', { name }, keyAnswer)
  if (options.json) {
    await printJson(terminal, answer)
    return
  }
  await print(terminal, `${answer.key}\n`)
  say(terminal, `The id of this key is ${answer.id}. It cannot be shown again.`)
}
