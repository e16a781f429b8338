import type { Command } from 'commander'
import { addExamples } from './command.ts'
import * as add from './environment/add.ts'
import * as check from './environment/check.ts'
import * as list from './environment/list.ts'
import * as remove from './environment/remove.ts'
import * as show from './environment/show.ts'
import { addRemoteOptions } from './remote/remote-options.ts'
import type { Terminal } from './screen/terminal.ts'

const parts = { add, list, show, check, remove }

export function define(command: Command, terminal: Terminal): void {
  for (const [name, part] of Object.entries(parts)) {
    const sub = command.command(name, { isDefault: name === 'list' })
    sub.showHelpAfterError(`hint: molehill environment ${name} --help shows what it takes.`)
    addRemoteOptions(sub)
    part.define(sub, terminal)
  }
  addExamples(command, [
    'molehill environment add hub ssh --option host=hub.example --secret password',
    "molehill environment check hub                  look at all that jobs need there; scripts say .on('hub')",
    'molehill environment list',
    'molehill environment show hub --json',
    'molehill environment remove hub',
  ])
}
