import type { Command } from 'commander'
import { join } from 'node:path'
import { readPasswordFile } from '../../api/access/password-file.ts'
import { readSurroundings } from '../../config/surroundings.ts'
import { say, type Terminal } from '../screen/terminal.ts'
import { openLogins } from './logins.ts'
import { parseServerUrl } from './server-url.ts'
import { openSession, type Session, type SessionOptions } from './session.ts'

/** How each command that speaks to a server is told which one, and who speaks. */
export interface RemoteOptions {
  readonly server?: string
  readonly insecure: boolean
  readonly passwordFile?: string
}

export const defaultServer = 'https://localhost:8443'

export function addRemoteOptions(command: Command): Command {
  return command
    .option(
      '--server <url>',
      `the server; else MOLEHILL_SERVER, the one of the latest login, or ${defaultServer}`,
    )
    .option('--insecure', 'take any certificate, and plain HTTP', false)
    .option(
      '--password-file <file>',
      'log in with the password in its first line when there is no valid token',
    )
}

/** Opens a session with the server that is meant. */
export async function connectServer(options: RemoteOptions, terminal: Terminal): Promise<Session> {
  return await openSession(await readSessionOptions(options, terminal))
}

export async function readSessionOptions(
  { server, insecure, passwordFile }: RemoteOptions,
  terminal: Terminal,
): Promise<SessionOptions> {
  const { configDirectory } = readSurroundings(terminal.variables)
  const logins = await openLogins(join(configDirectory, 'molehill', 'logins.json'))
  const { MOLEHILL_SERVER } = terminal.variables
  const named = server ?? (MOLEHILL_SERVER === '' ? undefined : MOLEHILL_SERVER)
  return {
    url: parseServerUrl(named ?? logins.latest() ?? defaultServer, { insecure }),
    logins,
    insecure,
    password: passwordFile === undefined ? undefined : () => readPasswordFile(passwordFile),
    say: (message) => say(terminal, message),
    now: terminal.now,
  }
}
