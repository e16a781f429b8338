import type { Command } from 'commander'
import * as account from './boinc/account.ts'
import * as invite from './boinc/invite.ts'
import * as keys from './boinc/keys.ts'
import * as sign from './boinc/sign.ts'
import { addExamples } from './command.ts'
import { addServerOptions } from './server-options.ts'
import type { Terminal } from './screen/terminal.ts'

const parts = { account, invite, keys, sign }

export function define(command: Command, terminal: Terminal): void {
  for (const [name, part] of Object.entries(parts)) {
    const sub = command.command(name)
    sub.showHelpAfterError(`hint: molehill boinc ${name} --help shows what it takes.`)
    addServerOptions(sub, ['config', 'data-directory'])
    part.define(sub, terminal)
  }
  addExamples(command, [
    'molehill boinc account add ann                 an account for a volunteer, with its key',
    'molehill boinc invite --uses 20                a link with which 20 people may each make one',
    'molehill boinc keys --offline ~/molehill-key     keep the code signing key elsewhere',
    'molehill boinc sign --offline ~/molehill-key launcher',
    'molehill boinc account list --json',
  ])
  command.addHelpText(
    'after',
    '\nThey work on the data directory of the server, as its user. The server may run, and should be restarted after a change of keys.',
  )
}
