import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'

/**
 * What to do about a host whose key is not known: the line to add, and the option that accepts the first key. `resolved`
 * is what `ssh -G` prints. The key is asked for where the host can be reached without another one on the way.
 */
export async function adviceForUnknownHost(
  resolved: Readonly<Record<string, string>>,
  knownHostsFile: string | undefined,
  variables: Readonly<Record<string, string>>,
): Promise<string> {
  const file = knownHostsFile ?? resolved['userknownhostsfile']?.split(' ')[0] ?? '~/.ssh/known_hosts'
  const isDirect = ['proxyjump', 'proxycommand'].every((name) => (resolved[name] ?? 'none') === 'none')
  const line = isDirect ? await scan(resolved, variables) : undefined
  const trust = 'Or set acceptNew: true to take the first key that the host shows.'
  if (line === undefined)
    return `Log in once with ssh by hand, as the user that the server runs as, and compare the key, so that ${file} gets its line. ${trust}`
  return (
    `It shows the key ${fingerprint(line)}. If that is the one its administrators publish, ` +
    `add this line to ${file}:\n${line}\n${trust}`
  )
}

async function scan(
  { hostname, port, hostkeyalias }: Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  if (hostname === undefined) return undefined
  try {
    const words = ['-T', '5', '-p', port ?? '22', '-t', 'ed25519,ecdsa,rsa', '--', hostname]
    const { stdout } = await promisify(execFile)('ssh-keyscan', words, { env: variables, timeout: 20_000 })
    const lines = stdout.split('\n').filter((line) => /^\S+ \S+ [A-Za-z0-9+/=]+$/.test(line))
    const line = lines.find((each) => each.includes(' ssh-ed25519 ')) ?? lines[0]
    return hostkeyalias === undefined ? line : line?.replace(/^\S+/, hostkeyalias)
  } catch {
    return undefined
  }
}

/** As `ssh-keygen -l` prints it. */
function fingerprint(line: string): string {
  const [, type = '', key = ''] = line.split(' ')
  const digest = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64')
  return `SHA256:${digest.replace(/=+$/, '')} (${type})`
}
