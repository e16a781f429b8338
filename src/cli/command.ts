import type { Command } from 'commander'
import type { Terminal } from './screen/terminal.ts'

/** What each command file exports: its arguments, options, examples and action. */
export interface CommandModule {
  readonly define: (command: Command, terminal: Terminal) => void
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json: boolean
  readonly verbose: boolean
}

/** Puts examples before everything else of a help text. */
export function addExamples(command: Command, examples: readonly string[]): Command {
  return command.addHelpText('before', `Examples:\n${examples.map((line) => `  ${line}\n`).join('')}`)
}
