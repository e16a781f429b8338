import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fakeTerminal } from '../../test/helpers/fake-terminal.ts'
import { startTestServer } from '../../test/helpers/running-server.ts'
import { lockDataDirectory } from '../config/data-directory-lock.ts'
import { writeFileDurably } from '../files/durable-file.ts'
import { createNamedEnvironments } from '../store/named-environments.ts'
import { openPreferences, secretsIn } from '../store/preferences.ts'
import { createSecrets } from '../store/secrets.ts'
import { openAuditLog } from '../store/audit-log.ts'
import { checkClock, computerChecks } from './doctor/computer.ts'
import type { Finding } from './doctor/findings.ts'
import { runCommandLine } from './program.ts'

let directory: string

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'molehill-doctor-test-')), 'data')
})

afterEach(async () => {
  await rm(join(directory, '..'), { recursive: true, force: true })
})

async function examine(...words: readonly string[]) {
  const terminal = fakeTerminal({ variables: { PATH: process.env.PATH ?? '', HOME: directory } })
  terminal.time = Date.now()
  const exitCode = await runCommandLine(
    ['doctor', '--data-directory', directory, '--json', '--config', await emptyConfig(), ...words],
    terminal,
  )
  const { isFine, findings } = JSON.parse(terminal.written.stdout) as { isFine: boolean; findings: Finding[] }
  return { exitCode, isFine, wrong: findings.filter((each) => !each.isFine), findings }
}

async function emptyConfig(): Promise<string> {
  const path = join(directory, '..', 'config.json')
  await writeFile(path, '{}')
  return path
}

async function writeAudit(): Promise<void> {
  const path = join(directory, 'audit.log')
  const log = await openAuditLog({ path, now: Date.now, elapsedMs: () => 1, warn: () => undefined })
  for (const action of ['one', 'two', 'three']) log.record({ action, outcome: 'ok' })
  await log.close()
}

test('where no server has run yet all is well', async () => {
  expect(await examine()).toMatchObject({ exitCode: 0, isFine: true, wrong: [] })
})

test('it says what keeps apart what users send, and why it cannot run as another user', async () => {
  const best = await examine()
  expect(best.findings.find(({ name }) => name === 'isolation')?.text).toMatch(/What users send runs/)
  const { exitCode, wrong } = await examine('--task-user', 'nobody')
  expect({ exitCode, names: wrong.map(({ name }) => name) }).toEqual({ exitCode: 1, names: ['isolation'] })
  expect(wrong[0]?.text).toMatch(/Only a server that root starts|each has a box of its own/)
})

test('beside a running server all is well, and the doctor says that it runs', async () => {
  await using server = await startTestServer()
  const terminal = fakeTerminal({ variables: { PATH: process.env.PATH ?? '' } })
  terminal.time = Date.now()
  const words = ['doctor', '--data-directory', server.dataDirectory, '--config', await emptyConfig()]
  expect(await runCommandLine(words, terminal)).toBe(0)
  expect(terminal.written.stdout).toMatch(/^ok +lock .* is in use by process \d+/m)
  expect(terminal.written.stdout).toMatch(/^ok +certificate +self-signed, good until/m)
  expect(terminal.written.stdout).toMatch(/^ok +journals +all 1 are whole/m)
  expect(terminal.written.stdout).toMatch(/^ok +environment local +answers/m)
})

test('each thing that is wrong is told with what to do, and the others are looked at all the same', async () => {
  await mkdir(directory, { mode: 0o700 })
  await writeAudit()
  const path = join(directory, 'audit.log')
  await writeFile(path, (await readFile(path, 'utf8')).replace('"two"', '"ten"'))
  await writeFile(join(directory, 'preferences.json'), '{ "version": 1, "password":')
  await writeFile(
    join(directory, 'molehill.db'),
    'no database at all, and long enough to be looked at'.repeat(30),
  )
  await mkdir(join(directory, 'executions'))
  await chmod(directory, 0o755)
  const { exitCode, isFine, wrong } = await examine('--disk-reserve', '1024TiB')
  expect({ exitCode, isFine }).toEqual({ exitCode: 1, isFine: false })
  expect(wrong.map(({ name }) => name)).toEqual([
    'data directory',
    'disk',
    'preferences',
    'journals',
    'audit log',
  ])
  expect(wrong.every(({ hint }) => hint !== undefined)).toBe(true)
  expect(wrong.at(-1)?.text).toContain('Line 3')
})

test('the doctor gives the lock back', async () => {
  await mkdir(directory, { mode: 0o700 })
  await examine()
  lockDataDirectory(directory, Date.now).release()
})

test('a clock that is long past or behind the files is wrong', () => {
  const now = Date.UTC(2026, 5, 1)
  expect(checkClock(now, now + 60_000)).toBe('2026-06-01T00:00:00.000Z')
  expect(() => checkClock(Date.UTC(1970, 0, 2), 0)).toThrow('long past')
  expect(() => checkClock(now, now + 7_200_000)).toThrow('was written at 2026-06-01T02:00')
})

test('an old Node is wrong', () => {
  const [node] = computerChecks('20.1.0', {})
  expect(() => node?.run(AbortSignal.timeout(1000))).toThrow('Expected version 24 or later, got 20.1.0.')
})

test('named environments are tried; those with secrets only where the password is given', async () => {
  await mkdir(directory, { mode: 0o700 })
  const passwordFile = join(directory, '..', 'password')
  await writeFile(passwordFile, 'sesame\n', { mode: 0o600 })
  const preferences = await openPreferences(join(directory, 'preferences.json'), writeFileDurably)
  const named = createNamedEnvironments(preferences, createSecrets(secretsIn(preferences), 'sesame'))
  await named.keep({ name: 'here', kind: 'local', options: { slots: 1 } }, {})
  await named.keep({ name: 'odd', kind: 'local', options: { slots: 'many' } }, {})
  await named.keep({ name: 'secret', kind: 'local', options: {} }, { stray: 'open' })
  const told = async (...words: readonly string[]) =>
    (await examine(...words)).findings.filter(({ name }) => /environment (here|odd|secret)/.test(name))
  expect(await told()).toEqual([
    { name: 'environment here', isFine: true, text: 'answers' },
    {
      name: 'environment odd',
      isFine: false,
      text: expect.stringContaining('The option slots'),
      hint: expect.any(String),
    },
    { name: 'environment secret', isFine: true, text: expect.stringContaining('--password-file') },
  ])
  expect((await told('--password-file', passwordFile)).at(-1)).toMatchObject({
    isFine: false,
    text: expect.stringContaining('"stray"'),
  })
})
