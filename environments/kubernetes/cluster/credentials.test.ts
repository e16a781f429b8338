import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LocalHost } from '../../../src/environment/local-host.ts'
import type { Access } from './access.ts'
import { credentialsFrom, type CredentialSource } from './credentials.ts'

const signal = new AbortController().signal
const now = () => 1_000_000
let directory: string
let cert: string
let key: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-kubeconfig-'))
  const pair = await generate([{ name: 'commonName', value: 'alice' }], { keyType: 'ec' })
  cert = pair.cert
  key = pair.private
  await put('ca.crt', cert)
})
afterAll(() => rm(directory, { recursive: true }))

async function put(name: string, content: string): Promise<string> {
  const path = join(directory, name)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
  return path
}

function read(source: CredentialSource): Promise<Access> {
  return credentialsFrom(source, now).read(signal)
}

interface Parts {
  readonly cluster?: Record<string, unknown>
  readonly user?: unknown
  readonly context?: Record<string, unknown>
  readonly current?: string
}

/** YAML reads JSON too. */
function kubeconfig({ cluster, user, context, current = 'prod' }: Parts = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'farm',
        cluster: cluster ?? { server: 'https://k.example:6443/', 'certificate-authority': 'ca.crt' },
      },
    ],
    users: [{ name: 'alice', user: user ?? { token: 'abc.def' } }],
    contexts: [
      { name: 'prod', context: context ?? { cluster: 'farm', user: 'alice', namespace: 'runs' } },
      { name: 'spare', context: { cluster: 'farm', user: 'alice' } },
    ],
    'current-context': current,
  })
}

async function readParts(parts: Parts, more: Partial<CredentialSource> = {}): Promise<Access> {
  const path = await put('config', kubeconfig(parts))
  return read({ kind: 'kubeconfig', file: { path }, ...more } as CredentialSource)
}

describe('a kubeconfig', () => {
  it('gives the address, the namespace, the authority and the token of its current context', async () => {
    expect(await readParts({})).toEqual({
      server: 'https://k.example:6443',
      namespace: 'runs',
      tls: { ca: cert },
      headers: { authorization: 'Bearer abc.def' },
      secrets: ['abc.def'],
    })
  })

  it('gives another context that is asked for', async () => {
    const access = await readParts({}, { context: 'spare' })
    expect(access.namespace).toBeUndefined()
  })

  it('may be YAML with data in it, without any file beside', async () => {
    const text = [
      'clusters:',
      '- name: farm',
      '  cluster:',
      '    server: https://10.0.0.1',
      `    certificate-authority-data: ${Buffer.from(cert).toString('base64')}`,
      '    tls-server-name: kubernetes',
      'users:',
      '- name: alice',
      '  user:',
      `    client-certificate-data: ${Buffer.from(cert).toString('base64')}`,
      `    client-key-data: ${Buffer.from(key).toString('base64')}`,
      '    as: bob',
      'contexts:',
      '- name: c',
      '  context: {cluster: farm, user: alice}',
      'current-context: c',
    ].join('\n')
    expect(await read({ kind: 'kubeconfig', file: { text } })).toEqual({
      server: 'https://10.0.0.1',
      tls: { ca: cert, servername: 'kubernetes', cert, key },
      headers: { 'impersonate-user': 'bob' },
      secrets: [],
    })
  })

  it('is read anew each time, with the token in a file beside it', async () => {
    await put('deep/token', 'first\n')
    const path = await put('config', kubeconfig({ user: { tokenFile: 'deep/token' } }))
    const credentials = credentialsFrom({ kind: 'kubeconfig', file: { path } }, now)
    expect((await credentials.read(signal)).headers).toEqual({ authorization: 'Bearer first' })
    await put('deep/token', 'second\n')
    expect((await credentials.read(signal)).secrets).toEqual(['second'])
  })

  it('may hold a user and a password', async () => {
    const { headers, secrets } = await readParts({ user: { username: 'alice', password: 'hush' } })
    expect(headers).toEqual({ authorization: 'Basic YWxpY2U6aHVzaA==' })
    expect(secrets).toEqual(['hush', 'YWxpY2U6aHVzaA=='])
  })

  const refusals: readonly (readonly [string, Parts, Partial<CredentialSource>, RegExp])[] = [
    [
      'has no such context',
      {},
      { context: 'test' },
      /config has no context "test"\. Choose one of: prod, spare\./,
    ],
    ['has chosen no context', { current: '' }, {}, /has no context chosen\. Choose one of: prod, spare/],
    ['lacks the cluster', { context: { cluster: 'x' } }, {}, /has no cluster "x"\. It has: farm\./],
    ['lacks the user', { context: { cluster: 'farm', user: 'x' } }, {}, /has no user "x"\. It has: alice\./],
    [
      'speaks plain http',
      { cluster: { server: 'http://k:8080' } },
      {},
      /http:\/\/k:8080 of the cluster farm in .* is plain http/,
    ],
    ['has no real address', { cluster: { server: 'k:6443' } }, {}, /is not of the form https:\/\/host:6443/],
    [
      'checks no certificate',
      { cluster: { server: 'https://k', 'insecure-skip-tls-verify': true } },
      {},
      /insecure-skip-tls-verify stands at the cluster farm/,
    ],
    [
      'goes through a proxy',
      { cluster: { server: 'https://k', 'proxy-url': 'http://p' } },
      {},
      /proxy-url stands at the cluster farm/,
    ],
    [
      'lacks its authority',
      { cluster: { server: 'https://k', 'certificate-authority': 'no.crt' } },
      {},
      /no\.crt, the certificate authority of .*, does not exist\./,
    ],
    [
      'has an authority that is none',
      { cluster: { server: 'https://k', 'certificate-authority-data': 'eHl6' } },
      {},
      /certificate authority of .* is no PEM text/,
    ],
    [
      'has half a certificate',
      { user: { 'client-key-data': 'eHl6' } },
      {},
      /Only one of client-certificate and client-key/,
    ],
    [
      'runs a program',
      { user: { exec: { command: 'aws' } } },
      {},
      /The program aws \(exec\) stands at the user alice/,
    ],
    [
      'has an old way in',
      { user: { 'auth-provider': { name: 'gcp' } } },
      {},
      /auth-provider \(gcp\) stands at the user alice/,
    ],
    ['has an empty token', { user: { token: ' ' } }, {}, /The token of the user alice in .* is empty/],
    ['has a token with a line end', { user: { token: 'a\nb' } }, {}, /characters that no token has/],
  ]
  it.each(refusals)('is refused where it %s', async (_, parts, more, message) => {
    await expect(readParts(parts, more)).rejects.toThrow(message)
    await expect(readParts(parts, more)).rejects.toMatchObject({ name: 'EnvironmentError' })
  })

  it('is refused where certificate and key do not belong together', async () => {
    const other = await generate([{ name: 'commonName', value: 'bob' }], { keyType: 'ec' })
    const user = {
      'client-certificate-data': Buffer.from(cert).toString('base64'),
      'client-key-data': Buffer.from(other.private).toString('base64'),
    }
    await expect(readParts({ user })).rejects.toThrow(/cannot be used .*belong together/)
  })

  it('is refused where it is missing, no YAML, no kubeconfig, or too large', async () => {
    const from = (file: { path: string } | { text: string }) => read({ kind: 'kubeconfig', file })
    await expect(from({ path: join(directory, 'none') })).rejects.toThrow(
      /none, the kubeconfig, does not exist\./,
    )
    await expect(from({ text: 'a: [' })).rejects.toThrow(/The kubeconfig is no YAML/)
    await expect(from({ text: 'contexts: 5' })).rejects.toThrow(/is no kubeconfig: contexts/)
    await expect(from({ text: '' })).rejects.toThrow(/The kubeconfig/)
    await expect(from({ path: await put('big', 'x'.repeat(2 ** 20 + 1)) })).rejects.toThrow(
      /has 1048577 bytes/,
    )
  })

  it('that is a text names no relative files', async () => {
    await expect(read({ kind: 'kubeconfig', file: { text: kubeconfig() } })).rejects.toThrow(
      /names the file ca\.crt, which is relative to nothing/,
    )
  })

  it('may skip the check of certificates where that is allowed', async () => {
    const cluster = { server: 'https://k', 'insecure-skip-tls-verify': true }
    const { tls } = await readParts({ cluster }, { allowInsecureTls: true })
    expect(tls).toEqual({ rejectUnauthorized: false })
  })
})

describe('a program that gives credentials', () => {
  const programs = new LocalHost({ variables: { PATH: '/usr/bin:/bin' } })

  async function run(script: string, exec: Record<string, unknown> = {}): Promise<Access> {
    const path = await put('login', `#!/bin/sh\n${script}\n`)
    await chmod(path, 0o755)
    return readParts({ user: { exec: { command: './login', ...exec } } }, { programs })
  }

  it('stands beside the kubeconfig, is given its variables and arguments, and says when its token is over', async () => {
    const { headers, secrets, staleAtMs } = await run(
      `printf '{"status":{"token":"%s-%s-%s","expirationTimestamp":"1970-01-01T00:20:00Z"}}' "$1" "$WHO" "\${KUBERNETES_EXEC_INFO#*interactive}"`.replace(
        '${KUBERNETES_EXEC_INFO#*interactive}',
        '${#KUBERNETES_EXEC_INFO}',
      ),
      { args: ['a'], env: [{ name: 'WHO', value: 'alice' }] },
    )
    expect(secrets[0]).toMatch(/^a-alice-\d+$/)
    expect(headers).toEqual({ authorization: `Bearer ${secrets[0]}` })
    expect(staleAtMs).toBe(20 * 60_000 - 30_000)
  })

  it('that fails, prints something else or nothing useful is named with what it said', async () => {
    await expect(run('echo no such profile >&2; exit 3')).rejects.toThrow(
      /login, the program of the user alice in .*, ended with exit code 3: no such profile/,
    )
    await expect(run('echo hunter2')).rejects.toThrow(/did not print an ExecCredential with a status\.$/)
    await expect(run(`echo '{"status":{}}'`)).rejects.toThrow(/neither a token nor a certificate/)
  })
})

describe('the service account of a pod', () => {
  const variables = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }
  const place = 'pod/var/run/secrets/kubernetes.io/serviceaccount'

  it('gives the address of the variables, and asks to read its token again', async () => {
    await put(`${place}/ca.crt`, cert)
    await put(`${place}/token`, 'one')
    await put(`${place}/namespace`, 'runs')
    const prefix = join(directory, 'pod')
    expect(await read({ kind: 'in-cluster', variables, prefix })).toEqual({
      server: 'https://[fd00::1]',
      namespace: 'runs',
      tls: { ca: cert },
      headers: { authorization: 'Bearer one' },
      secrets: ['one'],
      staleAtMs: now() + 60_000,
    })
  })

  it('is missed outside of pods and where its files are not mounted', async () => {
    await expect(read({ kind: 'in-cluster', variables: {} })).rejects.toThrow(/This is no pod of Kubernetes/)
    await expect(
      read({ kind: 'in-cluster', variables, prefix: join(directory, 'elsewhere') }),
    ).rejects.toThrow(/ca\.crt, the service account's certificate authority, does not exist/)
  })
})

describe('an address with a token', () => {
  it('takes an authority as text, as a file, or none', async () => {
    const plain = { kind: 'token', url: 'https://k:6443', token: 'abcdef' } as const
    expect((await read(plain)).tls).toEqual({})
    expect((await read({ ...plain, certificateAuthority: cert })).tls).toEqual({ ca: cert })
    expect((await read({ ...plain, certificateAuthority: join(directory, 'ca.crt') })).tls).toEqual({
      ca: cert,
    })
    await expect(read({ ...plain, certificateAuthority: 'ca.crt' })).rejects.toThrow(/neither PEM text/)
  })

  it('is refused with plain http, a password in it, or no token', async () => {
    const wrong = (url: string, token = 'abcdef') => read({ kind: 'token', url, token })
    await expect(wrong('http://k')).rejects.toThrow(/plain http/)
    await expect(wrong('https://u:p@k')).rejects.toThrow(/must hold no user or password/)
    await expect(wrong('https://k', '')).rejects.toThrow(/The token of the option token is empty/)
  })
})
