import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readPasswordFile, readSecretFile } from './password-file.ts'

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-password-'))
  path = join(directory, 'password')
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

async function keep(content: string | Buffer, mode = 0o600): Promise<void> {
  await writeFile(path, content)
  await chmod(path, mode)
}

test.each([
  ['sesame', 'sesame'],
  ['sesame\n', 'sesame'],
  ['sesame\r\n', 'sesame'],
  ['sesame\r', 'sesame'],
  ['sesame\nsecond line\n', 'sesame'],
  [' open sesame \n', ' open sesame '],
  ['\uFEFFsesämé\n', 'sesämé'],
])('the file %j gives the password %j', async (content, password) => {
  await keep(content)
  expect(await readPasswordFile(path)).toBe(password)
})

test('a file that only its owner can read is taken, whether or not it can be written', async () => {
  await keep('sesame', 0o400)
  expect(await readPasswordFile(path)).toBe('sesame')
})

test('a secret is the whole file without the line ends at its end, and may be long', async () => {
  await keep('apiVersion: v1\nkind: Config\n\n')
  expect(await readSecretFile(path)).toBe('apiVersion: v1\nkind: Config')
  await keep('x'.repeat(200_000))
  expect(await readSecretFile(path)).toHaveLength(200_000)
  await keep('x'.repeat(300_000))
  await expect(readSecretFile(path)).rejects.toThrow(`The file ${path} is 300000 bytes long`)
  await keep('\n')
  await expect(readSecretFile(path)).rejects.toThrow('is empty')
  await keep('sesame', 0o644)
  await expect(readSecretFile(path)).rejects.toThrow('is open to other users')
})

test.each([0o640, 0o604, 0o660, 0o620])('a file of mode %i is refused with the cure', async (mode) => {
  await keep('sesame', mode)
  await expect(readPasswordFile(path)).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: `The password file ${path} is open to other users (its mode is 0${mode.toString(8)}).`,
    hint: `chmod 600 '${path}'`,
  })
})

test.each([
  ['', 'has no password in its first line'],
  ['\nsesame', 'has no password in its first line'],
  ['x'.repeat(2000), 'has a first line of over 1024 letters'],
  ['x\n'.repeat(10_000), 'is 20000 bytes long'],
  [Buffer.from([0x73, 0xe9, 0x0a]), 'is not UTF-8'],
])('a file with unusable content is refused', async (content, reason) => {
  await keep(content)
  await expect(readPasswordFile(path)).rejects.toThrow(reason)
})

test('a symbolic link, a directory, a pipe and a missing file are refused at once', async () => {
  await keep('sesame')
  const link = join(directory, 'link')
  await symlink(path, link)
  await expect(readPasswordFile(link)).rejects.toThrow('is a symbolic link')
  await expect(readPasswordFile(directory)).rejects.toThrow('is no regular file')
  await expect(readPasswordFile(join(directory, 'missing'))).rejects.toThrow('does not exist')
  const pipe = join(directory, 'pipe')
  await promisify(execFile)('mkfifo', [pipe])
  await expect(readPasswordFile(pipe)).rejects.toThrow('is no regular file')
})

test('a file in a directory where everybody may replace it is refused', async () => {
  const open = join(directory, 'open')
  await mkdir(open)
  await chmod(open, 0o777)
  path = join(open, 'password')
  await keep('sesame')
  await expect(readPasswordFile(path)).rejects.toThrow('where everybody may replace it')
  await chmod(open, 0o1777)
  expect(await readPasswordFile(path)).toBe('sesame')
})

test.runIf(process.getuid?.() === 0)('the file of another user is refused, but for one of root', async () => {
  await keep('sesame')
  expect(await readPasswordFile(path, 12_345)).toBe('sesame')
  await chown(path, 23_456, 23_456)
  await expect(readPasswordFile(path, 12_345)).rejects.toThrow('belongs to user 23456')
})
