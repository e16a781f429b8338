import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
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
  await mkdir(join(directory, 'work', 'data'), { recursive: true })
  await writeFile(join(directory, 'work', 'workflow.ts'), 'export default 1\n')
  await writeFile(join(directory, 'work', 'data', 'table.csv'), 'a,b\n1,2\n')
  await writeFile(join(directory, 'password'), 'sesame\n', { mode: 0o600 })
})
afterEach(async () => {
  await served[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

/** Runs a command line in `directory`, against the test API. */
async function molehill(...words: readonly string[]) {
  const variables = { XDG_CONFIG_HOME: join(directory, 'config'), MOLEHILL_SERVER: served.url }
  const terminal = fakeTerminal({ variables, currentDirectory: directory })
  const exitCode = await runCommandLine(words, terminal)
  return { exitCode, ...terminal.written }
}

async function logInAndStart(): Promise<string> {
  await molehill('token', '--password-file', join(directory, 'password'))
  return (await molehill('start', 'work')).stdout.trim()
}

test('token saves the token, and prints it only when asked', async () => {
  const file = join(directory, 'password')
  const { exitCode, stdout, stderr } = await molehill('token', '--password-file', file)
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' })
  expect(stderr).toContain(`Logged in to ${served.url}`)
  expect((await molehill('token', '--password-file', file, '--print')).stdout).toBe('good\n')
  expect((await molehill('list', '--json')).stdout).toBe('[]\n')
})

test('a wrong password ends with 1, a missing one with 2', async () => {
  await writeFile(join(directory, 'password'), 'wrong\n')
  expect(await molehill('token', '--password-file', join(directory, 'password'))).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('error: Server password is incorrect'),
  })
  expect(await molehill('token')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('--password-file'),
  })
})

test('a command that nobody logged in for says how to', async () => {
  const { exitCode, stderr } = await molehill('list')
  expect(exitCode).toBe(1)
  expect(stderr).toContain(`hint: Run \`molehill token --server ${served.url}\``)
})

test('start sends the directory and prints the id alone', async () => {
  const id = await logInAndStart()
  expect(id).toBe('id-1')
  const { workDirectory } = served.executions.all.get(id) ?? {}
  expect(await readFile(join(workDirectory ?? '', 'data', 'table.csv'), 'utf8')).toBe('a,b\n1,2\n')
})

test('start without a login logs in when a password file is named', async () => {
  const file = join(directory, 'password')
  expect(await molehill('start', 'work', '--json', '--password-file', file)).toMatchObject({
    exitCode: 0,
    stdout: '{\n  "id": "id-1"\n}\n',
  })
})

test('start takes an archive that download made', async () => {
  const id = await logInAndStart()
  expect((await molehill('download', id)).exitCode).toBe(0)
  expect((await molehill('start', `${id}.tar.gz`)).stdout).toBe('id-2\n')
})

test('start tells what is missing and what does not compile by exit code', async () => {
  await logInAndStart()
  expect((await molehill('start', 'nowhere')).exitCode).toBe(2)
  expect((await molehill('start', 'work', '--script', 'no.ts')).exitCode).toBe(2)
  await writeFile(join(directory, 'work', 'bad.ts'), 'no workflow\n')
  expect(await molehill('start', 'work', '--script', 'bad.ts')).toMatchObject({
    exitCode: 3,
    stderr: 'error: The script exports no workflow.\n',
  })
})

test('state and list show what the server tells', async () => {
  const id = await logInAndStart()
  const execution = served.executions.all.get(id)
  if (execution !== undefined)
    execution.state = {
      ...execution.state,
      capsules: [{ name: 'walk', ready: 3, running: 2, completed: 5, failed: 0 }],
    }
  expect((await molehill('state', id)).stdout).toMatch(/^running\n\ncapsule .*\nwalk +3 +2 +5/)
  expect(JSON.parse((await molehill('state', id, '--json')).stdout)).toMatchObject({ state: 'running' })
  expect((await molehill('list')).stdout).toMatch(/^id .*\nid-1 +running/)
  expect((await molehill('state', 'nobody')).exitCode).toBe(2)
})

test('following ends with 6 when the execution has failed, and shows why', async () => {
  const id = await logInAndStart()
  const execution = served.executions.all.get(id)
  if (execution !== undefined)
    execution.state = {
      ...execution.state,
      state: 'failed',
      error: { message: 'boom', stackTrace: 'at walk' },
    }
  expect(await molehill('state', id, '--follow')).toMatchObject({
    exitCode: 6,
    stderr: 'failed: boom\n  at walk\n',
  })
})

test('jobs come page by page up to the limit, filtered by state and capsule', async () => {
  const id = await logInAndStart()
  const execution = served.executions.all.get(id)
  const times = { readyAt: 1, startedAt: 1, endedAt: 1501, exitCode: null, attempts: 1, environment: 'local' }
  for (let number = 1; number <= 1500; number += 1)
    execution?.jobs.push({
      ...times,
      id: number,
      capsule: number % 2 === 0 ? 'even' : 'odd',
      ticket: `${number}`,
      state: number === 1499 ? 'failed' : 'completed',
      error: number === 1499 ? 'exit code 1' : null,
    })
  expect(JSON.parse((await molehill('jobs', id, '--limit', '1200', '--json')).stdout)).toHaveLength(1200)
  expect((await molehill('jobs', id, '--state', 'failed')).stdout).toMatch(
    /\n1499 +odd +1499 +failed +1 +1\.5 s +exit code 1\n$/,
  )
  const some = await molehill('jobs', id, '--capsule', 'even', '--limit', '2')
  expect(some.stdout.split('\n')).toHaveLength(4)
  expect(some.stderr).toContain('--limit')
})

test('files are listed and fetched, to a file, to stdout and unpacked', async () => {
  const id = await logInAndStart()
  expect((await molehill('files', id)).stdout).toMatch(/^name .*\ndata\/ +directory .*\nworkflow.ts +17 /)
  expect((await molehill('download', id, 'data/table.csv', '-o', '-')).stdout).toBe('a,b\n1,2\n')
  expect(await molehill('download', id, 'data/table.csv')).toMatchObject({ stderr: 'Wrote table.csv.\n' })
  expect(await readFile(join(directory, 'table.csv'), 'utf8')).toBe('a,b\n1,2\n')
  expect((await molehill('download', id, 'data', '--extract', 'results')).exitCode).toBe(0)
  expect(await readdir(join(directory, 'results'))).toEqual(['table.csv'])
})

test('a download replaces nothing that was not named, and leaves no half file', async () => {
  const id = await logInAndStart()
  await writeFile(join(directory, 'table.csv'), 'mine')
  expect(await molehill('download', id, 'data/table.csv')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('-o table.csv'),
  })
  expect(await molehill('download', id, 'none.csv', '-o', 'none.csv')).toMatchObject({ exitCode: 2 })
  expect((await molehill('download', id, '--extract', 'work')).exitCode).toBe(2)
  expect((await readdir(directory)).sort()).toEqual(['config', 'password', 'table.csv', 'work'])
  expect(await readFile(join(directory, 'table.csv'), 'utf8')).toBe('mine')
  await molehill('download', id, 'data/table.csv', '-o', 'table.csv')
  expect(await readFile(join(directory, 'table.csv'), 'utf8')).toBe('a,b\n1,2\n')
})

test('explain says what is waited for', async () => {
  const id = await logInAndStart()
  expect((await molehill('explain', id)).stdout).toMatch(/\nwalk +ready +It waits for room on local\.\n$/)
  expect(JSON.parse((await molehill('explain', id, '1', '--json')).stdout)).toHaveLength(1)
})

test('output, cancel and remove do what they say', async () => {
  const id = await logInAndStart()
  const execution = served.executions.all.get(id)
  if (execution !== undefined) execution.output = 'one\ntwo'
  expect((await molehill('output', id)).stdout).toBe('one\ntwo')
  if (execution !== undefined) execution.printing = [{ job: 7, subject: 'walk[3]', text: 'step 1\n' }]
  expect((await molehill('output', id)).stdout).toBe(
    'one\ntwo\n[walk[3] is running and has printed so far:]\nstep 1\n',
  )
  expect((await molehill('cancel', id)).exitCode).toBe(0)
  expect(served.executions.state(id).isCancelled).toBe(true)
  expect((await molehill('remove', id)).exitCode).toBe(0)
  expect(served.executions.all.size).toBe(0)
})

test('validate lets the server check the script when one is named', async () => {
  await logInAndStart()
  const { exitCode, stdout } = await molehill('validate', 'work', '--server', served.url)
  expect(exitCode).toBe(0)
  expect(stdout).toMatch(/^capsule .*\nmodel +function +x +y +local\n$/)
})

test('environments are kept with secrets from files, listed, shown, checked and removed', async () => {
  await logInAndStart()
  await writeFile(join(directory, 'secret'), 'correct horse\n', { mode: 0o600 })
  const file = `password=${join(directory, 'secret')}`
  const added = ['environment', 'add', 'hub', 'ssh', '--option', 'host=hub.example', '--option', 'slots=8']
  expect(await molehill(...added, '--secret-file', file)).toMatchObject({
    exitCode: 0,
    stdout: '',
    stderr: expect.stringContaining(".on('hub')"),
  })
  const { stdout } = await molehill('environment', 'list', '--json')
  expect(JSON.parse(stdout)).toMatchObject({
    environments: [{ name: 'hub', options: { host: 'hub.example', slots: 8 }, secrets: ['password'] }],
  })
  expect((await molehill('environment')).stdout).toMatch(/^name +kind .*\nhub +ssh +yes +0 .*unknown\n$/)
  const shown = (await molehill('environment', 'show', 'hub')).stdout
  expect(shown).toMatch(/^option slots +8$/m)
  expect(shown).toMatch(/^option password +\(secret\)$/m)
  expect(shown + stdout).not.toContain('correct horse')
  expect(await molehill('environment', 'check', 'hub')).toEqual({
    exitCode: 0,
    stdout: 'ok     host  It answers.\nok     disk  There is room.\n',
    stderr: '',
  })
  expect((await molehill('environment', 'remove', 'hub', '--json')).stdout).toContain('"hub"')
  expect((await molehill('environment', 'list')).stderr).toContain('There are none.')
})

test('a check that finds something wrong ends with 1 and says what to do', async () => {
  await logInAndStart()
  await molehill('environment', 'add', 'away', 'ssh')
  expect(await molehill('environment', 'check', 'away')).toMatchObject({
    exitCode: 1,
    stdout: 'ok     host  It answers.\nWRONG  disk  It is full.\n             Free some.\n',
  })
})

test.each([
  [['add', 'hub', 'ssh', '--option', 'host'], 'as in --option slots=8; got "host"'],
  [['add', 'hub', 'ssh', '--secret', 'password'], '--secret-file password=FILE'],
  [['add', 'hub', 'ssh', '--secret', 'password=correct horse'], 'Other users can read the command line'],
  [['show', 'none'], 'There is no environment named "none".'],
  [['check', 'none'], 'There is no environment named "none".'],
  [['remove', 'none'], 'There is no environment named "none".'],
  [['list', 'more'], 'molehill environment list --help'],
])('environment %j is refused with a hint', async (words, message) => {
  await logInAndStart()
  const { exitCode, stdout, stderr } = await molehill('environment', ...words)
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toContain(message)
  expect(stderr).not.toContain('correct horse')
})
