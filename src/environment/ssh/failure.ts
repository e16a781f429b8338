/** Why a connection could not be made or was lost, for a person to read. */
export interface SshFailure {
  readonly kind:
    | 'name'
    | 'unreachable'
    | 'refused'
    | 'busy'
    | 'denied'
    | 'unknown-host'
    | 'changed-key'
    | 'key-file'
    | 'no-bash'
    | 'other'
  readonly message: string
}

/** Patterns of what OpenSSH says, the telling ones first; its messages are English in every locale. */
const patterns: readonly (readonly [RegExp, SshFailure['kind']])[] = [
  [/REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed/i, 'changed-key'],
  [/No .* host key is known for|Host key verification failed/, 'unknown-host'],
  [/Could not resolve hostname/, 'name'],
  [/UNPROTECTED PRIVATE KEY|Load key .*: |no such identity/, 'key-file'],
  [/Permission denied \(|Too many authentication failures|No more authentication methods/, 'denied'],
  [/Connection refused/, 'refused'],
  [/No route to host|timed out|Network is unreachable|Host is down|not responding/, 'unreachable'],
  [/kex_exchange_identification|Connection (?:closed|reset) by|Exceeded MaxStartups|Broken pipe/, 'busy'],
  [/bash: not found|bash: command not found|Unknown command.*bash|No such file.*bash/, 'no-bash'],
]

/** What ssh's last words mean for the host with this name, and what to do. */
export function readFailure(host: string, words: string): SshFailure {
  const [, kind] = patterns.find(([pattern]) => pattern.test(words)) ?? [undefined, 'other' as const]
  return { kind, message: `${sentence(kind, host)} ssh says: ${lastWords(words, kind)}` }
}

function sentence(kind: SshFailure['kind'], host: string): string {
  switch (kind) {
    case 'name':
      return `The name of the host ${host} is not known. Look for a slip in it, or add an alias to ~/.ssh/config.`
    case 'unreachable':
      return `The host ${host} cannot be reached. See whether it is up, and whether it needs a jump host or a VPN.`
    case 'refused':
      return `The host ${host} takes no SSH connections. See whether its SSH server runs, and on which port.`
    case 'busy':
      return `The host ${host} closed the connection. It may have too many connections, or be going down.`
    case 'denied':
      return `The host ${host} refused the user. Give the right user, and a key or password that it accepts.`
    case 'changed-key':
      return (
        `THE HOST KEY OF ${host} HAS CHANGED: somebody may be listening in, or the host was installed anew. ` +
        'Ask its administrators; only when they confirm the new key, remove the old one with ssh-keygen -R.'
      )
    case 'unknown-host':
      return `The host key of ${host}, or of a host on the way, is not known here.`
    case 'key-file':
      return `The private key for ${host} cannot be used. See its path, its mode (0600) and its passphrase.`
    case 'no-bash':
      return `The host ${host} has no bash. Jobs need bash 4 or newer on the PATH there.`
    case 'other':
      return `The connection to ${host} failed.`
  }
}

/** The lines that tell most, without the greeting of the host. */
function lastWords(words: string, kind: SshFailure['kind']): string {
  const lines = words
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => /[A-Za-z]/.test(line) && !/^M[0-9a-f]{24}x/.test(line))
  const pattern = patterns.find(([, each]) => each === kind)?.[0]
  const telling = pattern === undefined ? [] : lines.filter((line) => pattern.test(line))
  return (telling.length > 0 ? telling : lines).slice(-2).join(' ').slice(0, 500) || 'nothing.'
}
