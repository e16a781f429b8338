import type { Command } from 'commander'
import { addExamples } from './command.ts'
import { addRemoteOptions } from './remote/remote-options.ts'
import type { Terminal } from './screen/terminal.ts'
import * as add from './user/add.ts'
import * as change from './user/change.ts'
import * as key from './user/key.ts'
import * as list from './user/list.ts'
import * as remove from './user/remove.ts'

const parts = { add, change, list, key, remove }

export function define(command: Command, terminal: Terminal): void {
  for (const [name, part] of Object.entries(parts)) {
    const sub = command.command(name, { isDefault: name === 'list' })
    sub.showHelpAfterError(`hint: molehill user ${name} --help shows what it takes.`)
    addRemoteOptions(sub)
    part.define(sub, terminal)
  }
  addExamples(command, [
    'molehill user add ann --storage 20GiB --running-jobs 16',
    'molehill user key ann > ann.key            a key, which is shown this once',
    'molehill user list --json',
    'molehill user change ann --workflows any   she may start workflows of her own',
    'molehill user remove ann --with-executions',
  ])
}
