import type { Command } from 'commander'
import { defineRemoval } from '../removal.ts'
import type { Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  defineRemoval(command, terminal, {
    summary: 'remove an installed workflow',
    description: 'Remove an installed workflow. Executions of it go on, and keep their files.',
    what: 'the workflow',
    route: 'catalog/remove',
    done: 'It is removed.',
    examples: ['molehill catalog remove sandpile'],
  })
}
