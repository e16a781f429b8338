/** Why a connection could not be made or was lost, for a person to read. */
export interface SshFailure {
  readonly kind:
    | 'name'
    | 'unreachable'
    | 'refused'
    | 'busy'
    | 'way'
    | 'login'
    | 'denied'
    | 'unknown-host'
    | 'changed-key'
    | 'key-file'
    | 'no-bash'
    | 'other'
  readonly message: string
  /** What to do about it. */
  readonly fix: string
}

/** Patterns of what OpenSSH says, the telling ones first; its messages are English in every locale. */
const patterns: readonly (readonly [RegExp, SshFailure['kind']])[] = [
  [/REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed/i, 'changed-key'],
  [/No .* host key is known for|Host key verification failed/, 'unknown-host'],
  [/stdio forwarding failed/, 'way'],
  [/Could not resolve hostname/, 'name'],
  [/UNPROTECTED PRIVATE KEY|Load key .*: |no such identity/, 'key-file'],
  [/Permission denied \(|Too many authentication failures|No more authentication methods/, 'denied'],
  [/Connection refused/, 'refused'],
  [/No route to host|timed out|Network is unreachable|Host is down|not responding/, 'unreachable'],
  [/kex_exchange_identification|Connection (?:closed|reset) by|Exceeded MaxStartups|Broken pipe/, 'busy'],
  [/bash: not found|bash: command not found|Unknown command.*bash|No such file.*bash/, 'no-bash'],
  // ssh's own failures end it with 255.
  [/ssh ended with exit code (?!255)/, 'login'],
]

/** What ssh's last words mean for the host with this name, and what to do. */
export function readFailure(host: string, words: string): SshFailure {
  const [, kind] = patterns.find(([pattern]) => pattern.test(words)) ?? [undefined, 'other' as const]
  const [what, fix] = sentences(host)[kind]
  return { kind, message: `${what} ssh says: ${ended(lastWords(words, kind))}`, fix }
}

/** What is wrong, and what to do about it. */
function sentences(host: string): Readonly<Record<SshFailure['kind'], readonly [string, string]>> {
  return {
    name: [
      `The name of the host ${host} is not known.`,
      "Look for a slip in it, or add an alias to ~/.ssh/config of the server's user.",
    ],
    unreachable: [
      `The host ${host} cannot be reached.`,
      'See whether it is up, and whether it needs a jump host or a VPN.',
    ],
    refused: [
      `The host ${host} takes no SSH connections.`,
      'See whether its SSH server runs, and on which port.',
    ],
    busy: [
      `The host ${host} closed the connection.`,
      'See whether it has too many connections, or is going down.',
    ],
    way: [
      `The host on the way to ${host} got no connection to it.`,
      'See whether that host reaches it by this name and port, and may pass connections on (AllowTcpForwarding).',
    ],
    denied: [
      `The host ${host} refused the user.`,
      'Give the right user, and a key or password that it accepts.',
    ],
    'changed-key': [
      `THE HOST KEY OF ${host} HAS CHANGED: somebody may be listening in, or the host was installed anew.`,
      'Ask its administrators; only when they confirm the new key, remove the old one with ssh-keygen -R.',
    ],
    'unknown-host': [
      `The host key of ${host}, or of a host on the way, is not known here.`,
      'Log in once with ssh by hand and compare the key.',
    ],
    'key-file': [
      `The private key for ${host} cannot be used.`,
      'See its path, its mode (0600) and its passphrase.',
    ],
    'no-bash': [`The host ${host} has no bash.`, 'Jobs need bash 4 or newer on the PATH there.'],
    login: [
      `The login on ${host} ended by itself before bash could be started there.`,
      'See that the account has a login shell, and that neither its .bashrc nor its profile ends it; the option loginProfile: false leaves the profile out.',
    ],
    other: [
      `The connection to ${host} failed.`,
      'See whether `ssh` with the same options logs in without asking.',
    ],
  }
}

function ended(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
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
