import type { Command } from 'commander'
import { once } from 'node:events'
import { terminalPrompt } from '../api/access/prompt.ts'
import { resolveConfiguration } from '../config/configuration.ts'
import { startServer, type RunningServer } from '../main.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { interruptible } from './screen/interrupts.ts'
import { say, type Terminal } from './screen/terminal.ts'
import { Exit } from './screen/failure.ts'
import { addServerOptions, splitServerFlags } from './server-options.ts'

export function define(command: Command, terminal: Terminal): void {
  command.action(async (options: CommonOptions) => serve(options, terminal))
  addServerOptions(command)
  addExamples(command, [
    'molehill serve                                              https://localhost:8443, for this computer',
    'molehill serve --password-file pw --data-directory /srv/mh  for a daemon: nothing is asked',
    'molehill serve --port 0 --log-format json                   a free port; the log names it',
  ])
  command.addHelpText(
    'after',
    '\nSIGTERM or Ctrl-C stops the server; unfinished executions go on at the next start.',
  )
}

/** Runs a server until it is asked to stop. */
async function serve(options: CommonOptions, terminal: Terminal): Promise<void> {
  const { json, flags } = splitServerFlags(options)
  const { variables, currentDirectory } = terminal
  const { values } = await resolveConfiguration({ flags, env: variables, currentDirectory })
  const prompt = terminalPrompt()
  try {
    await interruptible(async (signal) => {
      const server = await startServer(
        { ...values, ...(json ? { logFormat: 'json' } : {}) },
        prompt === undefined ? {} : { prompt },
      )
      try {
        if (terminal.stderr.isTTY === true) welcome(terminal, server)
        if (!signal.aborted) await once(signal, 'abort')
      } finally {
        await server.close()
      }
    })
  } catch (error) {
    // To be asked to stop is how a server ends well.
    if (!(error instanceof Exit)) throw error
  }
}

function welcome(terminal: Terminal, { url, fingerprint, isPasswordNew }: RunningServer): void {
  const lines = [
    '',
    `Molehill listens on ${url}`,
    ...(fingerprint === undefined ? [] : [`Its certificate has the SHA-256 fingerprint`, `  ${fingerprint}`]),
    ...(isPasswordNew ? ['The password is set. Keep it well: it cannot be shown again.'] : []),
    '',
    'Log in from another terminal, then start something:',
    `  molehill token --server ${url}`,
    '  molehill start DIR --follow',
    'Ctrl-C stops the server.',
    '',
  ]
  say(terminal, lines.join('\n'))
}
