import type { Command } from 'commander'
import { defineRemoval } from '../removal.ts'
import type { Terminal } from '../screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  defineRemoval(command, terminal, {
    summary: 'forget an environment and its secrets',
    description: 'Forget a named environment and its secrets. Not while executions use it.',
    what: 'the environment',
    route: 'environments/remove',
    done: 'It is forgotten.',
    examples: ['molehill environment remove hub'],
  })
}
