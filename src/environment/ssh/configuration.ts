import type { SshOptions } from './options.ts'

/** Files of one connection, in a private directory whose path is short enough for a socket. */
export interface ConnectionFiles {
  readonly configuration: string
  readonly socket: string
}

/** What runs on the host: a shell that takes everything else from its input, so that no login shell has to read it. */
const remoteShell = 'exec bash --noprofile --norc -s'

/**
 * Text of ssh's configuration: our settings, then the user's and the system's, of which those count that are not set
 * here. A file, not arguments, since only this way it holds for the hosts on the way too.
 * See ssh_config(5): the first value wins.
 */
export function configurationText(options: SshOptions): string {
  const { identityFile, knownHostsFile, configFile, acceptNew, password, passphrase } = options
  const asks = password !== undefined || passphrase !== undefined
  return [
    'Host *',
    `BatchMode ${asks ? 'no' : 'yes'}`,
    'NumberOfPasswordPrompts 1',
    `StrictHostKeyChecking ${acceptNew ? 'accept-new' : 'yes'}`,
    ...(knownHostsFile === undefined
      ? []
      : [`UserKnownHostsFile ${quoted(knownHostsFile)}`, 'GlobalKnownHostsFile /dev/null']),
    'UpdateHostKeys no',
    ...(identityFile === undefined ? [] : [`IdentityFile ${quoted(identityFile)}`, 'IdentitiesOnly yes']),
    `ConnectTimeout ${seconds(options.connectTimeoutMs)}`,
    'ConnectionAttempts 1',
    `ServerAliveInterval ${seconds(options.keepAliveMs)}`,
    'ServerAliveCountMax 3',
    'LogLevel INFO',
    'ForwardAgent no',
    'ForwardX11 no',
    'ClearAllForwardings yes',
    'PermitLocalCommand no',
    'ForkAfterAuthentication no',
    'StdinNull no',
    'SessionType default',
    'EscapeChar none',
    ...(configFile === undefined
      ? ['Include ~/.ssh/config', 'Include /etc/ssh/ssh_config']
      : [`Include ${quoted(configFile)}`]),
    // With the instructions that processors have for it, it costs a third of what OpenSSH takes first.
    'Ciphers ^aes128-gcm@openssh.com,aes256-gcm@openssh.com',
    '',
  ].join('\n')
}

/** Arguments of the process that holds the connection, with the first shell as its session. */
export function masterArguments(options: SshOptions, files: ConnectionFiles): readonly string[] {
  return [
    '-F',
    files.configuration,
    '-M',
    '-S',
    files.socket,
    '-o',
    'ControlPersist=no',
    ...sessionWords(options),
  ]
}

/** Arguments of a process that has a connection of its own, where the shared one takes no more channels. */
export function directArguments(options: SshOptions, files: ConnectionFiles): readonly string[] {
  return ['-F', files.configuration, '-o', 'ControlMaster=no', '-S', 'none', ...sessionWords(options)]
}

/** Arguments of a process that has a channel of the connection. It must never make a connection of its own. */
export function channelArguments(options: SshOptions, files: ConnectionFiles): readonly string[] {
  return [
    '-F',
    files.configuration,
    '-o',
    'ControlMaster=no',
    '-S',
    files.socket,
    '-o',
    'ProxyCommand=exit 255',
    ...sessionWords({ ...options, jump: undefined }),
  ]
}

/** Arguments that make ssh print what the configuration says of the host. */
export function resolveArguments(options: SshOptions, files: ConnectionFiles): readonly string[] {
  return ['-G', '-F', files.configuration, ...target(options)]
}

function sessionWords(options: Omit<SshOptions, 'jump'> & { readonly jump?: string | undefined }): string[] {
  const noRemoteCommand = ['-o', 'RemoteCommand=none']
  return ['-T', ...noRemoteCommand, ...target(options), remoteShell]
}

function target({
  host,
  user,
  port,
  jump,
}: Pick<SshOptions, 'host' | 'user' | 'port'> & { readonly jump?: string | undefined }): string[] {
  return [
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(jump === undefined ? [] : ['-J', jump]),
    '--',
    host,
  ]
}

function quoted(path: string): string {
  return `"${path.replaceAll('%', '%%')}"`
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}
