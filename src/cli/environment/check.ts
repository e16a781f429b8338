import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { environmentCheckedAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { Exit } from '../screen/failure.ts'
import { interruptible } from '../screen/interrupts.ts'
import { oneLine } from '../screen/table.ts'
import { paint, print, printJson, type Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('look at all that jobs need on an environment')
    .description(
      'Let the server look at all that jobs need on an environment, and say what to do about the rest.',
    )
    .argument('<name>', 'the environment')
    .action(async (name: string, options: CommonOptions & RemoteOptions) => check(name, options, terminal))
  addExamples(command, ['molehill environment check hub'])
  command.addHelpText('after', '\nEnds with 1 when something is wrong.')
}

async function check(
  name: string,
  options: CommonOptions & RemoteOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const answer = await interruptible((signal) =>
    session.call('environments/check', { name }, environmentCheckedAnswer, signal),
  )
  if (options.json) await printJson(terminal, answer)
  else {
    const width = Math.max(...answer.findings.map(({ what }) => what.length))
    for (const { what, good, message, fix } of answer.findings) {
      const verdict = paint(
        terminal,
        terminal.stdout,
        good ? 'green' : 'red',
        (good ? 'ok' : 'WRONG').padEnd(5),
      )
      await print(terminal, `${verdict}  ${oneLine(what).padEnd(width)}  ${oneLine(message)}\n`)
      // A line that is to be added somewhere stands by itself, to be copied.
      for (const line of fix?.split('\n') ?? [])
        await print(terminal, `${' '.repeat(width + 9)}${oneLine(line)}\n`)
    }
  }
  if (!answer.good) throw new Exit(1)
}
