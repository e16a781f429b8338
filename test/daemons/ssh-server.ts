import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { makeOwned, settleAccount } from './account.ts'
import type { Enclosure } from './enclosure.ts'
import { runCommand } from './run-command.ts'

export interface SshServerOptions {
  /** How many channels one connection may have open; OpenSSH's default is 10. */
  readonly maxSessions?: number
  /** How many connections may wait for authentication, as `start:rate:full`; OpenSSH's default is 10:30:100. */
  readonly maxStartups?: string
  /** Printed by the user's `.bashrc` at every login and every command. */
  readonly greeting?: string
  /** Set as LC_ALL in every session, installed or not. */
  readonly locale?: string
  /** Variables of every session. */
  readonly variables?: Readonly<Record<string, string>>
  /** More lines for sshd's configuration; the first that names a keyword counts. */
  readonly configuration?: readonly string[]
}

export interface SshServer {
  readonly host: string
  readonly port: number
  readonly user: string
  /** Works for the user, besides the key. */
  readonly password: string
  /** The user's home on that host. */
  readonly home: string
  /** A private key without passphrase. */
  readonly identityFile: string
  /** Public keys that are let in, one a line; read anew at every connection. */
  readonly authorizedKeysFile: string
  /** Holds the host's true key. */
  readonly knownHostsFile: string
  /** As a line of known_hosts. */
  readonly hostKey: string
  /** For `ssh -F`; knows the host by `alias`. */
  readonly configFile: string
  readonly alias: string
}

/** The SSH server of an enclosure: its keys, configuration and account are made once, then it starts as often as wished. */
export class SshDaemon {
  readonly server: SshServer
  readonly #enclosure: Enclosure

  private constructor(enclosure: Enclosure, server: SshServer) {
    this.#enclosure = enclosure
    this.server = server
  }

  /** `home` is as the host sees it; `homeOutside`, where it differs, is the same directory out here. */
  static async prepare(
    enclosure: Enclosure,
    place: { host: string; port: number; alias: string; home: string; homeOutside?: string },
    options: SshServerOptions = {},
  ): Promise<SshDaemon> {
    const { directory } = enclosure
    const { host, port, alias, home, homeOutside = home } = place
    const password = 'open sesame'
    const inDirectory = (name: string) => join(directory, name)
    const [account] = await Promise.all([
      settleAccount(enclosure, { home, password }),
      makeKey(inDirectory('host-key')),
      makeKey(inDirectory('identity')),
    ])
    await makeOwned(homeOutside, account)
    await writeFile(join(homeOutside, '.bashrc'), bashrc(options.greeting))
    await chown(join(homeOutside, '.bashrc'), account.userId, account.groupId)
    await mkdir(inDirectory('authorized-keys'))
    const authorizedKeysFile = join(directory, 'authorized-keys', account.user)
    await writeFile(authorizedKeysFile, await readFile(inDirectory('identity.pub')))
    const [type, key] = (await readFile(inDirectory('host-key.pub'), 'utf8')).split(' ')
    const hostKey = `${port === 22 ? host : `[${host}]:${port}`} ${type} ${key}`
    const server: SshServer = {
      host,
      port,
      alias,
      user: account.user,
      password,
      home,
      identityFile: inDirectory('identity'),
      authorizedKeysFile,
      knownHostsFile: inDirectory('known_hosts'),
      hostKey,
      configFile: inDirectory('ssh_config'),
    }
    await writeFile(server.knownHostsFile, `${hostKey}\n`)
    await writeFile(server.configFile, clientConfiguration(server))
    await writeFile(inDirectory('sshd_config'), serverConfiguration(directory, server, options))
    await enclosure.run(['/usr/sbin/sshd', '-t', '-f', inDirectory('sshd_config')])
    return new SshDaemon(enclosure, server)
  }

  /** Returns when the server listens. */
  async start(): Promise<void> {
    const { directory } = this.#enclosure
    await this.#enclosure.run([
      '/usr/sbin/sshd',
      '-f',
      join(directory, 'sshd_config'),
      '-E',
      join(directory, 'sshd.log'),
    ])
    const { host, port } = this.server
    const greeting = `read -r -t 5 line </dev/tcp/${host}/${port} && [[ $line = SSH-* ]]`
    await until(
      `sshd answers on ${host}:${port}`,
      async () => (await this.#enclosure.try(['bash', '-c', greeting])).code === 0 || undefined,
      () => 'see sshd.log',
    )
  }

  /** Kills the server and all its sessions; what commands started in the background lives on. */
  kill(): Promise<void> {
    return this.#enclosure.kill('sshd')
  }
}

/** A client's configuration that knows several servers by their aliases. */
export function clientConfiguration(...servers: readonly SshServer[]): string {
  return servers
    .flatMap((server) => [
      `Host ${server.alias}`,
      `  HostName ${server.host}`,
      `  Port ${server.port}`,
      `  User ${server.user}`,
      `  IdentityFile ${server.identityFile}`,
      '  IdentitiesOnly yes',
      `  UserKnownHostsFile ${server.knownHostsFile}`,
      '  GlobalKnownHostsFile /dev/null',
      '  BatchMode yes',
      '  ConnectTimeout 10',
      '',
    ])
    .join('\n')
}

async function makeKey(file: string): Promise<void> {
  await runCommand(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'molehill-test', '-f', file])
}

function bashrc(greeting: string | undefined): string {
  return greeting === undefined ? '' : `printf '%s\\n' '${greeting.replaceAll("'", String.raw`'\''`)}'\n`
}

function serverConfiguration(directory: string, server: SshServer, options: SshServerOptions): string {
  const { maxSessions = 10, maxStartups = '10:30:100', locale, variables = {}, configuration = [] } = options
  const all = { ...variables, ...(locale === undefined ? {} : { LC_ALL: locale }) }
  const settings = Object.entries(all).map(([name, value]) => `"${name}=${value}"`)
  return [
    ...configuration,
    `ListenAddress ${server.host}`,
    `Port ${server.port}`,
    `HostKey ${directory}/host-key`,
    `PidFile ${directory}/sshd.pid`,
    `AuthorizedKeysFile ${directory}/authorized-keys/%u`,
    `AllowUsers ${server.user}`,
    `MaxSessions ${maxSessions}`,
    `MaxStartups ${maxStartups}`,
    ...(settings.length > 0 ? [`SetEnv ${settings.join(' ')}`] : []),
    'PasswordAuthentication yes',
    'KbdInteractiveAuthentication no',
    'StrictModes no',
    'UsePAM no',
    'UseDNS no',
    'PrintMotd no',
    'PrintLastLog no',
    'LoginGraceTime 20',
    'LogLevel VERBOSE',
    'Subsystem sftp internal-sftp',
    '',
  ].join('\n')
}
