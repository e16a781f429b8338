import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { explainAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { formatTable } from './screen/table.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .argument('[job]', 'id of a job, as `molehill jobs` lists them')
    .action(async (id: string, job: string | undefined, options: CommonOptions & RemoteOptions) =>
      showReasons(id, job, options, terminal),
    )
  addRemoteOptions(command)
  addExamples(command, [
    'molehill explain 0c6f...        what each capsule that is not done waits for',
    'molehill explain 0c6f... 17     why job 17 is where it is',
  ])
}

async function showReasons(
  id: string,
  job: string | undefined,
  options: CommonOptions & RemoteOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const { explanations } = await session.call('explain', { id, job }, explainAnswer)
  if (options.json) await printJson(terminal, explanations)
  else if (explanations.length === 0) say(terminal, 'Nothing waits: all of it is done.')
  else
    await print(
      terminal,
      formatTable(
        ['what', 'state', 'why'],
        explanations.map(({ subject, state, reason }) => [subject, state, reason]),
      ),
    )
}
