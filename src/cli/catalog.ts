import type { Command } from 'commander'
import { addExamples } from './command.ts'
import * as add from './catalog/add.ts'
import * as list from './catalog/list.ts'
import * as remove from './catalog/remove.ts'
import { addRemoteOptions } from './remote/remote-options.ts'
import type { Terminal } from './screen/terminal.ts'

const parts = { add, list, remove }

export function define(command: Command, terminal: Terminal): void {
  for (const [name, part] of Object.entries(parts)) {
    const sub = command.command(name, { isDefault: name === 'list' })
    sub.showHelpAfterError(`hint: molehill catalog ${name} --help shows what it takes.`)
    addRemoteOptions(sub)
    part.define(sub, terminal)
  }
  addExamples(command, [
    'molehill catalog add sandpile                  install a directory whose script describes itself',
    'molehill catalog list --json',
    'molehill describe sandpile                     what it takes and what it leaves behind',
    'molehill start --workflow sandpile --input size=50',
    'molehill catalog remove sandpile',
  ])
}
