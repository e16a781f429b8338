import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { serveTestApi } from '../../test/helpers/api-server.ts'
import { fakeTerminal } from '../../test/helpers/fake-terminal.ts'
import { runCommandLine } from './program.ts'

let served: Awaited<ReturnType<typeof serveTestApi>>
let directory: string

beforeEach(async () => {
  served = await serveTestApi()
  directory = await mkdtemp(join(tmpdir(), 'cli-'))
  await writeFile(join(directory, 'password'), 'sesame\n', { mode: 0o600 })
  await molehill('token', '--password-file', join(directory, 'password'))
})
afterEach(async () => {
  await served[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

async function molehill(...words: readonly string[]) {
  const variables = { XDG_CONFIG_HOME: join(directory, 'config'), MOLEHILL_SERVER: served.url }
  const terminal = fakeTerminal({ variables, currentDirectory: directory })
  const exitCode = await runCommandLine(words, terminal)
  return { exitCode, ...terminal.written }
}

test('a user is added, changed, listed and removed', async () => {
  expect((await molehill('user')).stderr).toContain('There are none. Add one: molehill user add NAME')
  expect(
    await molehill('user', 'add', 'carl', '--storage', '20GiB', '--identity', 'https://idp.example', '7f3a'),
  ).toMatchObject({ exitCode: 0, stderr: 'Added carl. Make a key for him: molehill user key carl\n' })
  expect(served.users.find('carl')).toMatchObject({
    quota: { storedBytes: 20 * 2 ** 30 },
    identities: [{ issuer: 'https://idp.example', subject: '7f3a' }],
    rights: { submitter: false, workflows: 'catalog' },
  })
  await molehill(
    'user',
    'change',
    'carl',
    '--workflows',
    'any',
    '--submitter',
    '--storage',
    'none',
    '--queued-jobs',
    '9',
  )
  expect(served.users.find('carl')).toMatchObject({ rights: { submitter: true, workflows: 'any' } })
  expect(served.users.find('carl')?.quota).toEqual({ queuedJobs: 9 })
  await molehill('user', 'change', 'carl', '--no-submitter')
  expect(served.users.find('carl')?.rights).toEqual({ submitter: false, workflows: 'any' })
  expect((await molehill('user', 'list')).stdout).toMatch(
    /^name .*\ncarl +any +no +0 .*7f3a at https:\/\/idp\.example\n$/,
  )
  expect(await molehill('user', 'remove', 'carl')).toMatchObject({ exitCode: 0, stderr: 'He is removed.\n' })
  expect(served.users.list()).toEqual([])
})

test('a key alone goes to standard output, and is void when it is removed', async () => {
  await molehill('user', 'add', 'carl')
  const made = await molehill('user', 'key', 'carl')
  const key = made.stdout.trimEnd()
  expect(made.stdout).toMatch(/^mhk_[\w-]{43}\n$/)
  const id = served.users.byKey(key)?.key.id ?? ''
  expect(made.stderr).toContain(`The id of this key is ${id}.`)
  expect((await molehill('user', 'list')).stdout).toContain(id)
  expect(await molehill('user', 'key', 'carl', '--remove', id)).toMatchObject({ exitCode: 0 })
  expect(served.users.byKey(key)).toBeUndefined()
  expect(await molehill('user', 'key', 'nobody')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('There is no user named "nobody"'),
  })
})

test.each([
  ['--identity', 'https://idp.example'],
  ['--identity', 'a', 'b', 'c'],
  ['--storage', 'much'],
  ['--running-jobs', '-5x'],
  ['--workflows', 'all'],
])('what is wrong is told before anything is added: %s %s', async (...words) => {
  expect(await molehill('user', 'add', 'carl', ...words)).toMatchObject({ exitCode: 2 })
  expect(served.users.list()).toEqual([])
})

test('in JSON, for programs', async () => {
  expect(JSON.parse((await molehill('user', 'add', 'carl', '--json')).stdout)).toEqual({ name: 'carl' })
  const made: unknown = JSON.parse((await molehill('user', 'key', 'carl', '--json')).stdout)
  expect(made).toEqual({ id: expect.any(String), key: expect.stringMatching(/^mhk_/) })
  expect(JSON.parse((await molehill('user', 'list', '--json')).stdout)).toMatchObject({
    users: [{ name: 'carl' }],
  })
})
