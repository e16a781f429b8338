import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeFileDurably } from '../files/durable-file.ts'
import { createNamedEnvironments } from './named-environments.ts'
import { openPreferences, secretsIn } from './preferences.ts'
import { createSecrets } from './secrets.ts'

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-named-'))
  path = join(directory, 'preferences.json')
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** Reads the preferences anew, as another start of the server does. */
async function open(password: string | undefined = 'sesame') {
  const preferences = await openPreferences(path, writeFileDurably)
  return createNamedEnvironments(preferences, createSecrets(secretsIn(preferences), password))
}

const hub = { name: 'hub', kind: 'ssh', options: { host: 'hub.example', port: 2222 } }
const password = 'correct horse battery staple'

test('an environment is there at the next start, with its secrets and without them', async () => {
  const named = await open()
  await named.keep(hub, { password })
  await named.keep({ name: 'Cluster-2.a', kind: 'slurm', options: {} }, {})
  const again = await open()
  const found = again.find('hub')
  expect(again.list().map(({ name }) => name)).toEqual(['Cluster-2.a', 'hub'])
  expect(found).toEqual({ ...hub, secrets: ['password'] })
  expect(found && (await again.openSecrets(found))).toEqual({ password })
  expect(again.find('none')).toBeUndefined()
  expect(again.find('toString')).toBeUndefined()
  expect(await readFile(path, 'utf8')).not.toContain(password)
})

test('without the password all is known but the secrets', async () => {
  await (await open()).keep(hub, { password })
  const locked = createNamedEnvironments(
    await openPreferences(path, writeFileDurably),
    createSecrets(secretsIn(await openPreferences(path, writeFileDurably)), undefined),
  )
  const found = locked.find('hub')
  if (found === undefined) throw new Error('it is not there')
  await expect(locked.openSecrets(found)).rejects.toMatchObject({ code: 'configuration-invalid' })
  await expect(locked.keep({ ...hub, name: 'other' }, { password })).rejects.toMatchObject({
    code: 'configuration-invalid',
  })
  expect(locked.find('other')).toBeUndefined()
})

test('another one under the same name leaves no secret of the first', async () => {
  const named = await open()
  await named.keep(hub, { password, passphrase: 'of the key' })
  await named.keep({ ...hub, options: { host: 'other' } }, { password: 'new' })
  const found = named.find('hub')
  expect(found).toEqual({ name: 'hub', kind: 'ssh', options: { host: 'other' }, secrets: ['password'] })
  expect(found && (await named.openSecrets(found))).toEqual({ password: 'new' })
  expect(await readFile(path, 'utf8')).not.toContain('passphrase')
})

test('a removed one is gone with its secrets', async () => {
  const named = await open()
  await named.keep(hub, { password })
  await named.remove('hub')
  await named.remove('hub')
  expect(named.list()).toEqual([])
  expect(await readFile(path, 'utf8')).not.toContain('hub')
})

test.each(['', '2nd', 'a b', '../x', '__proto__', 'x'.repeat(65), 'local', 'named'])(
  'no environment can be named %j',
  async (name) => {
    const named = await open()
    await expect(named.keep({ ...hub, name }, {})).rejects.toMatchObject({ code: 'parameter-invalid' })
    expect(named.list()).toEqual([])
  },
)
