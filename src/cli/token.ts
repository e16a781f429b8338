import type { Command } from 'commander'
import { terminalPrompt } from '../api/access/prompt.ts'
import { Problem } from '../problem.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { login } from './remote/login.ts'
import { addRemoteOptions, readSessionOptions, type RemoteOptions } from './remote/remote-options.ts'
import { nameServer } from './remote/server-url.ts'
import { formatTime } from './screen/table.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'

interface TokenOptions extends CommonOptions, RemoteOptions {
  readonly fingerprint?: string
  readonly print: boolean
}

export function define(command: Command, terminal: Terminal): void {
  command.action(async (options: TokenOptions) => obtainToken(options, terminal))
  addRemoteOptions(command)
  command
    .option('--fingerprint <sha256>', 'the certificate to trust, as the server prints it at its start')
    .option('--print', 'print the token, for use by another program', false)
  addExamples(command, [
    'molehill token                                             asks for the password',
    'molehill token --server https://hub:8443 --password-file ~/.hub-password',
    'curl -k --data-urlencode "token=$(molehill token --print)" https://localhost:8443/list',
  ])
}

async function obtainToken(options: TokenOptions, terminal: Terminal): Promise<void> {
  const session = await readSessionOptions(options, terminal)
  const server = nameServer(session.url)
  const { fingerprint } = options
  if (fingerprint !== undefined && !/^([0-9a-f]{2}:?){32}$/i.test(fingerprint))
    throw new Problem(
      'parameter-invalid',
      'Expected a SHA-256 fingerprint: 64 hexadecimal digits, colons between.',
    )
  const password = session.password ?? (() => askPassword(server))
  const { token, expiresAt } = await login({ ...session, fingerprint, password })
  if (options.json)
    await printJson(terminal, {
      server,
      fingerprint: session.logins.of(server)?.fingerprint,
      expiresAt,
      ...(options.print ? { token } : {}),
    })
  else if (options.print) await print(terminal, `${token}\n`)
  say(terminal, `Logged in to ${server} until ${formatTime(expiresAt)}.`)
}

async function askPassword(server: string): Promise<string> {
  const prompt = terminalPrompt()
  if (prompt === undefined)
    throw new Problem('password-missing', 'There is no terminal to ask for the password.', {
      hint: 'Write it into a file of mode 0600 and name that with --password-file.',
    })
  return await prompt(`Password of ${server}: `)
}
