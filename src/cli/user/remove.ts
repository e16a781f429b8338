import type { Command } from 'commander'
import { defineRemoval } from '../removal.ts'
import type { Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command.option('--with-executions', 'remove his executions too, with all their files', false)
  defineRemoval(
    command,
    terminal,
    {
      summary: 'remove a user',
      description:
        'Remove a user, his keys and what he has uploaded. Not while he has executions, unless these go too.',
      what: 'the user',
      route: 'users/remove',
      done: 'He is removed.',
      examples: ['molehill user remove ann', 'molehill user remove ann --with-executions'],
    },
    ({ withExecutions }) => ({ withExecutions: String(withExecutions === true) }),
  )
}
