import type { Command } from 'commander'
import type { CommonOptions } from './command.ts'
import { configOption, describeOptions, type OptionDescription } from '../config/show.ts'

/** Adds a flag for each option of the server, or for those named. Flags that were not given stay undefined. */
export function addServerOptions(command: Command, names?: readonly string[]): Command {
  for (const option of [configOption, ...describeOptions()])
    if (names === undefined || names.includes(option.flag.slice(2))) addServerOption(command, option)
  return command
}

/** The options of every command, apart from the flags that are the server's. */
export function splitServerFlags({ json, verbose, ...flags }: CommonOptions) {
  return { json, verbose, flags }
}

function addServerOption(
  command: Command,
  { flag, type, description, default: fallback }: OptionDescription,
): void {
  if (type === 'switch') {
    command.option(flag, description)
    command.option(flag.replace('--', '--no-'), `not so (else ${fallback === 'true' ? 'so' : 'not so'})`)
  } else command.option(`${flag} <${type}>`, `${description} Else ${fallback}.`)
}
