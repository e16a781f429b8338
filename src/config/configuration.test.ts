import { expect, test } from 'vitest'
import { Problem } from '../problem.ts'
import { resolveConfiguration, type ConfigurationSources } from './configuration.ts'
import { optionKeys, options, spellings } from './options.ts'
import { configOption, describeOptions, documentOptions, showConfiguration } from './show.ts'

const env = { HOME: '/home/ada' }

/** A file system of the given files. */
function files(content: Readonly<Record<string, string>>) {
  return async (path: string) => {
    const found = content[path]
    if (found === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' })
    return found
  }
}

function resolve(sources: ConfigurationSources) {
  return resolveConfiguration({ env, readFile: files({}), currentDirectory: '/work', ...sources })
}

async function refusal(sources: ConfigurationSources): Promise<Problem> {
  const error: unknown = await resolve(sources).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(error instanceof Problem)) throw new Error('the configuration was not refused', { cause: error })
  expect(error.code).toBe('configuration-invalid')
  return error
}

test('without any source every option has its default', async () => {
  const { values, origins, file } = await resolve({})
  expect(values).toMatchObject({
    dataDirectory: '/home/ada/.local/state/molehill',
    host: '127.0.0.1',
    port: 8443,
    http: false,
    tlsCert: undefined,
    tokenLifetimeMs: 86_400_000,
    uploadBytes: 20 * 2 ** 30,
    outputBytes: 8 * 2 ** 20,
    scriptMemoryBytes: 2 ** 30,
  })
  expect(values.slots).toBeGreaterThan(0)
  expect(Object.keys(values)).toEqual(optionKeys)
  expect(Object.values(origins).every(({ kind }) => kind === 'default')).toBe(true)
  expect(file).toBeUndefined()
})

test('every default passes its own schema', async () => {
  const { values } = await resolve({})
  const refused = optionKeys.filter(
    (key) => values[key] !== undefined && !options[key].kind.schema.safeParse(values[key]).success,
  )
  expect(refused).toEqual([])
})

test('flags win over variables, variables over the file, the file over defaults', async () => {
  const { values, origins } = await resolve({
    flags: { config: 'my.json', port: '1' },
    env: { ...env, MOLEHILL_PORT: '2', MOLEHILL_SLOTS: '2' },
    readFile: files({ '/work/my.json': '{ "port": 3, "slots": 3, "maxConnections": 3 }' }),
  })
  expect(values).toMatchObject({ port: 1, slots: 2, maxConnections: 3, host: '127.0.0.1' })
  expect(origins.port).toEqual({ kind: 'flag', flag: '--port' })
  expect(origins.slots).toEqual({ kind: 'environment', variable: 'MOLEHILL_SLOTS' })
  expect(origins.maxConnections).toEqual({ kind: 'file', path: '/work/my.json' })
  expect(origins.host).toEqual({ kind: 'default' })
})

test('sizes, time spans and switches may be written as people write them', async () => {
  const { values } = await resolve({
    flags: { uploadLimit: '512M', http: true },
    env: { ...env, MOLEHILL_TOKEN_LIFETIME: '12h', MOLEHILL_GZIP_DOWNLOADS: 'Yes' },
    readFile: files({ '/home/ada/.config/molehill/config.json': '{ "scriptMemory": "2GiB" }' }),
  })
  expect(values).toMatchObject({
    uploadBytes: 512 * 2 ** 20,
    http: true,
    tokenLifetimeMs: 43_200_000,
    gzipDownloads: true,
    scriptMemoryBytes: 2 ** 31,
  })
})

test('an empty variable counts as not set, and so does a flag that is undefined', async () => {
  const { values } = await resolve({
    flags: { port: undefined },
    env: { ...env, MOLEHILL_PORT: '', MOLEHILL_CONFIG: '' },
  })
  expect(values.port).toBe(8443)
})

test('the file is found by flag, then by variable, then where XDG says', async () => {
  const readFile = files({
    '/work/flag.json': '{ "port": 1 }',
    '/etc/variable.json': '{ "port": 2 }',
    '/xdg/molehill/config.json': '{ "port": 3 }',
  })
  const xdg = { ...env, XDG_CONFIG_HOME: '/xdg' }
  const named = { ...xdg, MOLEHILL_CONFIG: '/etc/variable.json' }
  expect((await resolve({ flags: { config: 'flag.json' }, env: named, readFile })).values.port).toBe(1)
  expect((await resolve({ env: named, readFile })).values.port).toBe(2)
  expect(await resolve({ env: xdg, readFile })).toMatchObject({
    values: { port: 3 },
    file: '/xdg/molehill/config.json',
  })
})

test('relative paths start where they are written', async () => {
  const { values } = await resolve({
    flags: { dataDirectory: 'data', config: '/etc/molehill/molehill.json' },
    env: { ...env, MOLEHILL_TLS_KEY: '~/key.pem' },
    readFile: files({ '/etc/molehill/molehill.json': '{ "tlsCert": "cert.pem" }' }),
  })
  expect(values).toMatchObject({
    dataDirectory: '/work/data',
    tlsKey: '/home/ada/key.pem',
    tlsCert: '/etc/molehill/cert.pem',
  })
})

test('the data directory follows XDG, unless that is relative', async () => {
  const state = async (XDG_STATE_HOME: string) =>
    (await resolve({ env: { ...env, XDG_STATE_HOME } })).values.dataDirectory
  expect(await state('/var/state')).toBe('/var/state/molehill')
  expect(await state('state')).toBe('/home/ada/.local/state/molehill')
})

test('an unknown option is refused with the nearest known one', async () => {
  const inFile = await refusal({
    flags: { config: 'a.json' },
    readFile: files({ '/work/a.json': '{ "tokenLifetimeMs": 5 }' }),
  })
  expect(inFile.message).toBe('The option "tokenLifetimeMs" in /work/a.json is not known.')
  expect(inFile.hint).toContain('"tokenLifetime"')

  const asFlag = await refusal({ flags: { tokenLifetme: '5' } })
  expect(asFlag.message).toBe('The option --token-lifetme on the command line is not known.')
  expect(asFlag.hint).toContain('--token-lifetime')
})

test('a password in the file is refused without being repeated', async () => {
  const readFile = files({ '/work/a.json': '{ "password": "sesame" }' })
  const { message, hint } = await refusal({ flags: { config: 'a.json' }, readFile })
  expect(message + hint).not.toContain('sesame')
  expect(hint).toContain('"passwordFile"')
})

test.each([
  [{ flags: { port: '70000' } }, 'Expected a whole number from 0 to 65535 for flag --port, got "70000".'],
  [{ flags: { port: '80 ' } }, 'for flag --port'],
  [
    { env: { ...env, MOLEHILL_UPLOAD_LIMIT: 'much' } },
    'Expected a size such as 512M or 2GiB, from 1KiB to 1024TiB for variable MOLEHILL_UPLOAD_LIMIT, got "much".',
  ],
  [{ env: { ...env, MOLEHILL_HTTP: 'maybe' } }, 'Expected true or false for variable MOLEHILL_HTTP'],
  [{ flags: { logLevel: 'loud' } }, 'Expected one of trace, debug'],
  [{ flags: { dataDirectory: 'a\0b' } }, 'Expected a path for flag --data-directory'],
  [{ flags: { scriptTime: '9d', config: undefined, slots: '0' } }, 'Expected a whole number from 1'],
  [{ flags: { config: true } }, 'Expected a path for --config, got true.'],
] satisfies [ConfigurationSources, string][])('%j is refused by what was expected', async (sources, text) => {
  expect((await refusal(sources)).message).toContain(text)
})

test.each([
  ['{ "port": 1', 'is not JSON'],
  ['[1]', 'got a list'],
  ['null', 'Expected one JSON object'],
  ['{ "__proto__": { "port": 1 } }', '"__proto__"'],
  ['{ "port": null }', 'for port in /work/a.json, got null'],
  ['{ "port": 1.5 }', 'got 1.5'],
])('the file %s is refused', async (content, text) => {
  const readFile = files({ '/work/a.json': content })
  expect((await refusal({ flags: { config: 'a.json' }, readFile })).message).toContain(text)
})

test('a file that is named must be there', async () => {
  expect((await refusal({ flags: { config: 'a.json' } })).message).toContain('/work/a.json does not exist')
})

test('a file that cannot be read is refused even where it is optional', async () => {
  const readFile = async () => {
    throw Object.assign(new Error('EACCES'), { code: 'EACCES' })
  }
  expect((await refusal({ readFile })).message).toContain('cannot be read')
})

test('a file with a byte order mark is read', async () => {
  const readFile = files({ '/work/a.json': '\uFEFF{ "port": 5 }' })
  expect((await resolve({ flags: { config: 'a.json' }, readFile })).values.port).toBe(5)
})

test('what is shown tells value and origin of every option', async () => {
  const lines = showConfiguration(await resolve({ flags: { tokenLifetime: '90m' } })).split('\n')
  expect(lines).toHaveLength(optionKeys.length + 1)
  expect(lines.find((line) => line.startsWith('tokenLifetime '))).toMatch(
    /^tokenLifetime = 90m +\(flag --token-lifetime\)$/,
  )
  expect(lines.find((line) => line.startsWith('uploadLimit '))).toMatch(/= 20GiB +\(default\)$/)
  expect(lines.find((line) => line.startsWith('tlsCert '))).toMatch(/= not set +\(default\)$/)
})

test('no two options share a spelling', () => {
  const all = [configOption, ...describeOptions()]
  for (const spelling of ['flag', 'variable', 'member'] as const)
    expect(new Set(all.map((each) => each[spelling])).size).toBe(all.length)
  expect(spellings('token-lifetime')).toEqual({
    flag: '--token-lifetime',
    variable: 'MOLEHILL_TOKEN_LIFETIME',
    member: 'tokenLifetime',
  })
})

test('the documented table has a row for every option and nothing of this computer', () => {
  const table = documentOptions()
  expect(table.trimEnd().split('\n')).toHaveLength(optionKeys.length + 3)
  expect(table).toContain('| `--port` | `MOLEHILL_PORT` | `port` | 8443 |')
  expect(table).toContain('the cores that the server may use')
  expect(table).not.toContain('undefined')
})
