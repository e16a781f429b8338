import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { EnvironmentError } from '../../src/environment/environment.ts'
import { FakeEnvironment } from '../../src/environment/fake.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { loadPlugins } from '../../src/environment/registry.ts'
import { startServer } from '../../src/main.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { molehill, openPlayground } from '../helpers/command-line.ts'
import { password, startTestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const text = z.string()
const options = z.strictObject({ host: text, password: text, passphrase: text, token: text })

/** A cluster that is careless: whatever it says holds what it was given. */
const careless: EnvironmentPlugin<z.output<typeof options>> = {
  kind: 'careless',
  options,
  secrets: ['password', 'passphrase', 'token'],
  async create(name, { host, password, passphrase, token }, context) {
    const told = `${host}: ${password} ${passphrase} ${token}`
    context.warn(`connecting with ${told}`)
    const environment = new FakeEnvironment(undefined, { name })
    environment.check = async () => {
      throw new EnvironmentError(`cannot connect with ${told}`, { cause: new Error(told) })
    }
    let submits = 0
    environment.submit = async (requests) => {
      submits += 1
      if (submits === 1) throw new EnvironmentError(`cannot submit with ${told}`)
      return new Map(requests.map(({ id }) => [id, { kind: 'rejected', reason: `refused with ${told}` }]))
    }
    return environment
  },
}

/** Every one of these is planted somewhere, and must be found nowhere. */
const planted = {
  password,
  guess: 'guessed-horse-4711',
  guessInQuery: 'guessed-battery-4712',
  guessInHeader: 'guessed-staple-4713',
  forgedToken: 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJmb3JnZWQtNDcxNCJ9.',
  tokenInQuery: 'query-token-4715',
  cookie: 'cookie-4716',
  sshPassword: 'ssh "pass"\\word ä😀 4717',
  passphrase: 'phrase of the key 4718\nsecond line 4719',
  clusterToken: 'cluster-token-4720',
  replaced: 'replaced-secret-4721',
  strayOption: 'stray-secret-4722',
  brokenJson: 'broken-json-4723',
  openOption: 'open-option-4724',
  inScript: 'in-a-refused-script-4725',
  variable: 'server-variable-4726',
  wrongKind: 'wrong-kind-4727',
  emptyName: 'bad-name-4728',
  multipart: 'multipart-guess-4729',
  bearer: 'bearer-token-4730',
}

/** The forms in which a secret could lie somewhere. */
function formsOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret)
  const json = JSON.stringify(secret).slice(1, -1)
  return [
    bytes,
    Buffer.from(json),
    Buffer.from(secret, 'utf16le'),
    Buffer.from(encodeURIComponent(secret)),
    Buffer.from(bytes.toString('hex')),
    Buffer.from(bytes.toString('base64url')),
    Buffer.from(bytes.toString('base64').replaceAll('=', '')),
  ]
}

function findSecrets(place: string, content: Buffer, secrets: Readonly<Record<string, string>>): string[] {
  return Object.entries(secrets)
    .filter(([, secret]) => formsOf(secret).some((form) => content.includes(form)))
    .map(([name]) => `${name} in ${place}`)
}

async function findInDirectory(
  directory: string,
  secrets: Readonly<Record<string, string>>,
): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const found: string[] = []
  for (const entry of entries.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name)
    found.push(...findSecrets(path, await readFile(path).catch(() => Buffer.alloc(0)), secrets))
  }
  return found
}

/** Words and variables of every process below this one. */
async function findInChildren(
  secrets: Readonly<Record<string, string>>,
): Promise<{ found: string[]; seen: number }> {
  const parents = new Map<string, string>()
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    parents.set(pid, stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '0')
  }
  const isBelow = (pid: string): boolean => {
    for (let at = parents.get(pid); at !== undefined && at !== '0'; at = parents.get(at))
      if (at === String(process.pid)) return true
    return false
  }
  const found: string[] = []
  let seen = 0
  for (const pid of parents.keys()) {
    if (!isBelow(pid)) continue
    seen += 1
    for (const file of ['cmdline', 'environ']) {
      const content = await readFile(`/proc/${pid}/${file}`).catch(() => Buffer.alloc(0))
      found.push(...findSecrets(`${file} of process ${pid}`, content, secrets))
    }
  }
  return { found, seen }
}

const workflow = `
import { commandTask, display, functionTask, number, shell, string } from 'molehill'
const x = number('x')
const seen = string('seen')
const look = functionTask('look', {
  outputs: [seen],
  run: async () => {
    const { readFileSync } = await import('node:fs')
    return { seen: JSON.stringify([process.env, process.argv, readFileSync('/proc/self/environ', 'latin1')]) }
  },
}).hook(display([seen]))
const tell = commandTask('tell', { command: shell\`env; cat /proc/self/environ /proc/$PPID/environ; sleep 3\` })
const crash = functionTask('crash', { outputs: [x], run: () => process.abort() }).tolerate({ share: 1 })
const dump = commandTask('dump', { command: shell\`ulimit -c unlimited; kill -ABRT $$\` }).tolerate({ share: 1 })
const away = commandTask('away', { command: ['true'] }).on('hub').tolerate({ share: 1 })
export default look.next(tell, crash, dump, away)
`

test(`${Object.keys(planted).length} planted secrets are found nowhere`, { timeout: 180_000 }, async () => {
  process.env.MOLEHILL_PLANTED = planted.variable
  const plugins = new Map(await loadPlugins(new URL('../../environments/', import.meta.url)))
  plugins.set('careless', careless)
  await using server = await startTestServer({ http: true }, { plugins })
  const answers: string[] = []
  const ask = async (
    path: string,
    body: URLSearchParams | FormData | undefined,
    headers: Record<string, string> = {},
  ) => {
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers,
      ...(body !== undefined && { body }),
    })
    const content = await answer.text()
    answers.push(
      `${path.split('?', 1)[0]} ${answer.status} ${JSON.stringify([...answer.headers])} ${content}`,
    )
    return { status: answer.status, json: content.startsWith('{') ? Object(JSON.parse(content)) : {} }
  }
  const post = (path: string, parameters: Record<string, string>) =>
    ask(path, new URLSearchParams(parameters))

  const login = await fetch(`${server.url}/token`, {
    method: 'POST',
    body: new URLSearchParams({ password }),
  })
  const token = String(Object(await login.json()).token)
  // Wrong passwords come from four addresses: one may send five a minute.
  await post('/token', { password: planted.guess })
  await ask(`/token?password=${planted.guessInQuery}`, undefined)
  await ask('/token', undefined, { authorization: `Basic ${btoa(`x:${planted.guessInHeader}`)}` })
  const multipart = new FormData()
  multipart.set('password', planted.multipart)
  await ask('/token', multipart)
  await post('/list', { token: planted.forgedToken })
  await ask(`/list?token=${planted.tokenInQuery}`, undefined, { cookie: `session=${planted.cookie}` })
  await ask('/list', undefined, { authorization: `Bearer ${planted.bearer}` })

  const hub = { token, name: 'hub', kind: 'careless', options: '{"host":"hub.example"}' }
  const secrets = (password: string) =>
    JSON.stringify({ password, passphrase: planted.passphrase, token: planted.clusterToken })
  const refused = [
    { ...hub, secrets: `{"password":"${planted.brokenJson}` },
    { ...hub, secrets: JSON.stringify({ stray: planted.strayOption }) },
    { ...hub, options: JSON.stringify({ host: 'a', password: planted.openOption }) },
    { ...hub, kind: 'moon', secrets: JSON.stringify({ password: planted.wrongKind }) },
    { ...hub, name: '../x', secrets: secrets(planted.emptyName) },
  ]
  for (const parameters of refused) expect((await post('/environments/add', parameters)).status).toBe(400)
  expect((await post('/environments/add', { ...hub, secrets: secrets(planted.replaced) })).status).toBe(200)
  expect(
    (await post('/environments/add', { ...hub, secrets: secrets(planted.sshPassword), replace: 'true' }))
      .status,
  ).toBe(200)
  expect((await post('/environments/check', { token, name: 'hub' })).json).toMatchObject({ good: false })

  const start = async (script: string) => {
    const form = new FormData()
    form.set('token', token)
    form.set('script', 'flow.ts')
    form.set(
      'workDirectory',
      new Blob([new Uint8Array(tarGzip([{ name: 'flow.ts', content: script }]))]),
      'w',
    )
    return ask('/start', form)
  }
  const withSecret = workflow.replace(
    ".on('hub')",
    `.on({ kind: 'careless', options: { password: '${planted.inScript}' } })`,
  )
  expect((await start(withSecret)).json).toMatchObject({
    detail: 'The option password of the environment careless is secret and cannot be part of a script.',
  })
  const { id } = (await start(workflow)).json
  let children = { found: [] as string[], seen: 0 }
  await expect
    .poll(
      async () => {
        const now = await findInChildren(planted)
        children = { found: [...children.found, ...now.found], seen: Math.max(children.seen, now.seen) }
        const { json } = await post('/state', { token, id })
        return json.state
      },
      { timeout: 150_000, interval: 200 },
    )
    .not.toBe('running')
  for (const route of ['/output', '/jobs', '/explain', '/environments', '/list', '/files', '/download'])
    await post(route, { token, id, path: '' })
  for (const route of ['/metrics', '/readyz', '/openapi.json', '/'])
    answers.push(await (await fetch(server.url + route)).text())

  expect(children.seen).toBeGreaterThan(2)
  expect(children.found).toEqual([])
  const everything = { ...planted, token }
  for (const answer of answers)
    expect(findSecrets(answer.slice(0, 200), Buffer.from(answer), everything)).toEqual([])
  expect(findSecrets('the log', Buffer.from(server.logged.join('\n')), everything)).toEqual([])
  expect(server.logged.join('\n')).toContain('[secret]')
  await server.close()
  expect(await findInDirectory(server.dataDirectory, everything)).toEqual([])
  const names = await readdir(server.dataDirectory, { recursive: true })
  expect(
    names.filter((name) => /(?:^|\/)(?:core(?:\.\d+)?|report\.[\d.]+json|.*\.heapsnapshot)$/.test(name)),
  ).toEqual([])
})

test('a planted secret would be found, in each form', () => {
  for (const [index, form] of formsOf('ä"secret"😀').entries())
    expect(findSecrets('here', form, { it: 'ä"secret"😀' }), `form ${index}`).toEqual(['it in here'])
})

/** A computer that does much else takes its time. */
const slowStartMs = 90_000

test('a crash leaves no picture of the memory', { timeout: 2 * slowStartMs }, async () => {
  await using playground = await openPlayground()
  const passwordFile = join(playground.directory, 'password')
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  const words = ['serve', '--http', '--port', '0', '--data-directory', join(playground.directory, 'data')]
  const running = playground.start(molehill, [...words, '--password-file', passwordFile])
  await running.shows(/listening/, slowStartMs)
  const limits = await readFile(`/proc/${running.pid}/limits`, 'utf8')
  expect(limits).toMatch(/^Max core file size +0 /m)
  const commandLine = await readFile(`/proc/${running.pid}/cmdline`, 'utf8')
  expect(commandLine).toContain('serve')
  expect(commandLine).not.toMatch(/--(?:report|heapsnapshot|diagnostic)/)
})

test('a start that finds secrets wants the password; a login opens them', { timeout: 120_000 }, async () => {
  const silent = createLog({ level: 'silent', format: 'json', isTerminal: false, now: Date.now })
  const plugins = new Map([['careless', careless]])
  await using server = await startTestServer({ http: true }, { plugins })
  await server.close()
  const { passwordFile: _passwordFile, ...rest } = server.configuration
  const withoutPassword = { ...rest, passwordFile: undefined }
  const second = await startServer(withoutPassword, { log: silent, plugins })
  const call = async (path: string, parameters: Record<string, string>) => {
    const answer = await fetch(second.url + path, { method: 'POST', body: new URLSearchParams(parameters) })
    return { status: answer.status, json: Object(await answer.json()) }
  }
  try {
    const { token } = (await call('/token', { password })).json
    const parameters = { token: String(token), name: 'hub', kind: 'careless', options: '{"host":"a"}' }
    const secrets = JSON.stringify({ password: 'one', passphrase: 'two', token: 'three' })
    expect(await call('/environments/add', { ...parameters, secrets })).toMatchObject({ status: 200 })
  } finally {
    await second.close()
  }
  await expect(startServer(withoutPassword, { log: silent, plugins })).rejects.toMatchObject({
    code: 'password-missing',
    hint: expect.stringContaining('--password-file'),
  })
  const third = await startServer(server.configuration, { log: silent, plugins })
  await third.close()
})
