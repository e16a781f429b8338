import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fakeTerminal } from '../../test/helpers/fake-terminal.ts'
import { readKeyText } from '../volunteers/protocol/key-text.ts'
import { isSignatureOf, md5Of } from '../volunteers/protocol/signatures.ts'
import { runCommandLine } from './program.ts'

let directory: string
const data = () => join(directory, 'data')

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cli-boinc-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function molehill(...words: readonly string[]) {
  const terminal = fakeTerminal({
    variables: { MOLEHILL_VOLUNTEER_URL: 'https://hub.example/boinc' },
    currentDirectory: directory,
  })
  const exitCode = await runCommandLine(['boinc', ...words, '--data-directory', data()], terminal)
  return { exitCode, ...terminal.written }
}

test('volunteers are added with a key, listed and removed', async () => {
  expect((await molehill('account', 'list')).stderr).toContain('There are none.')
  const added = await molehill('account', 'add', 'Ann B.')
  expect(added.exitCode).toBe(0)
  expect(added.stdout).toMatch(/^[\da-f]{32}\n$/)
  expect(added.stderr).toContain(
    `boinccmd --project_attach https://hub.example/boinc/ ${added.stdout.trim()}`,
  )
  expect((await molehill('account', 'list')).stdout).toContain('Ann B.')
  expect(JSON.parse((await molehill('account', 'list', '--json')).stdout)).toMatchObject({
    accounts: [{ id: 1, name: 'Ann B.' }],
  })
  expect(await molehill('account', 'add', 'Ann B.')).toMatchObject({ exitCode: 2 })
  expect(await molehill('account', 'remove', 'Ann B.')).toMatchObject({ exitCode: 0 })
  expect(await molehill('account', 'remove', 'Ann B.')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('There is no volunteer "Ann B."') as string,
  })
})

test('a new upload key waits for the next start of the server', async () => {
  await molehill('keys')
  expect((await molehill('keys', '--rotate-upload')).stderr).toContain('takes the new upload key')
  const names = await readdir(join(data(), 'volunteers', 'keys'))
  expect(names).toEqual(expect.arrayContaining(['upload.pem', 'upload.next.pem']))
})

test('an invitation is a link', async () => {
  const { stdout, stderr } = await molehill('invite', '--uses', '3', '--for', '2d')
  expect(stdout).toMatch(/^https:\/\/hub\.example\/boinc\/join\?invitation=[\w-]{12}\n$/)
  expect(stderr).toContain('It is good for 3 accounts until')
  expect(await molehill('invite', '--uses', 'many')).toMatchObject({ exitCode: 2 })
})

test('the code signing key goes elsewhere, signs there and changes there', async () => {
  const stick = join(directory, 'stick')
  await writeFile(join(directory, 'launcher'), 'a program')
  expect((await molehill('keys')).stderr).toContain('The code signing key is among them.')
  const moved = JSON.parse((await molehill('keys', '--offline', 'stick', '--json')).stdout) as {
    codeSignKey: string
  }
  expect(await readdir(stick)).toContain('code-sign.pem')
  expect(await readdir(join(data(), 'volunteers', 'keys'))).not.toContain('code-sign.pem')
  expect(await molehill('sign', 'launcher')).toMatchObject({ exitCode: 2 })
  expect(await molehill('sign', '--offline', 'stick', 'launcher')).toMatchObject({ exitCode: 0 })
  const md5 = md5Of('a program')
  const signature = () => readFile(join(data(), 'volunteers', 'keys', 'signatures', md5), 'utf8')
  expect(isSignatureOf(await signature(), md5, readKeyText(moved.codeSignKey))).toBe(true)
  const rotated = await molehill('keys', '--rotate', '--offline', 'stick')
  expect(rotated.stderr).toContain('Restart the server.')
  const { codeSignKey } = JSON.parse((await molehill('keys', '--json')).stdout) as { codeSignKey: string }
  expect(codeSignKey).not.toBe(moved.codeSignKey)
  await molehill('sign', '--offline', 'stick', 'launcher')
  expect(isSignatureOf(await signature(), md5, readKeyText(codeSignKey))).toBe(true)
})
