import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'

/** A command that removes something of a server by its name. */
export interface Removal {
  readonly summary: string
  readonly description: string
  /** What the name is of. */
  readonly what: string
  readonly route: string
  /** Said when it is done. */
  readonly done: string
  readonly examples: readonly string[]
}

/** What such a command takes. `parametersOf` makes of its own options what the route takes besides the name. */
export function defineRemoval(
  command: Command,
  terminal: Terminal,
  { summary, description, what, route, done, examples }: Removal,
  parametersOf: (options: Readonly<Record<string, unknown>>) => Readonly<Record<string, string>> = () => ({}),
): void {
  command
    .summary(summary)
    .description(description)
    .argument('<name>', what)
    .action(async (name: string, options: CommonOptions & RemoteOptions) => {
      using session = await connectServer(options, terminal)
      const response = await session.fetch(route, { name, ...parametersOf({ ...options }) })
      response.resume()
      if (options.json) await printJson(terminal, { name })
      else say(terminal, done)
    })
  addExamples(command, examples)
}
