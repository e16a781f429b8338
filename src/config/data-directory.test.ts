import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { prepareDataDirectory } from './data-directory.ts'

let parent: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'molehill-data-'))
})

afterEach(async () => {
  await rm(parent, { recursive: true, force: true })
})

test('a missing directory is made for its owner alone, with its parents', async () => {
  const path = join(parent, 'state', 'molehill')
  await prepareDataDirectory(path)
  expect((await stat(path)).mode & 0o777).toBe(0o700)
  expect((await stat(join(parent, 'state'))).mode & 0o777).toBe(0o700)
  await prepareDataDirectory(path)
})

test('a private directory behind a symbolic link is taken', async () => {
  await mkdir(join(parent, 'there'), { mode: 0o700 })
  await symlink(join(parent, 'there'), join(parent, 'here'))
  await expect(prepareDataDirectory(join(parent, 'here'))).resolves.toBeUndefined()
})

test.each([0o755, 0o750, 0o701, 0o702])('mode %o is refused with the cure and stays', async (mode) => {
  const path = join(parent, 'open')
  await mkdir(path)
  await chmod(path, mode)
  await expect(prepareDataDirectory(path)).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: `The data directory ${path} is open to other users (its mode is 0${mode.toString(8)}, expected 0700).`,
    hint: `Close it: chmod 700 '${path}'. Or name another directory with --data-directory.`,
  })
  expect((await stat(path)).mode & 0o777).toBe(mode)
})

test('a directory that its owner may not write is refused', async () => {
  const path = join(parent, 'closed')
  await mkdir(path, { mode: 0o500 })
  await expect(prepareDataDirectory(path)).rejects.toThrow('is closed to its owner (its mode is 0500')
})

test('the directory of another user is refused, naming both', async () => {
  const { uid } = await stat(parent)
  await expect(prepareDataDirectory(parent, uid + 1)).rejects.toThrow(
    `belongs to user ${uid}, but the server runs as user ${uid + 1}`,
  )
})

test('a file in the way is refused', async () => {
  await writeFile(join(parent, 'file'), '')
  await expect(prepareDataDirectory(join(parent, 'file'))).rejects.toThrow('cannot be made')
  await expect(prepareDataDirectory(join(parent, 'file', 'below'))).rejects.toThrow('cannot be made')
})
