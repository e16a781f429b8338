import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { copyTree } from './copy-tree.ts'
import { removeTree } from './remove-tree.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'molehill-copy-'))
  await mkdir(join(root, 'from/data'), { recursive: true })
})
afterEach(async () => {
  await removeTree(root)
  await rm(root, { recursive: true, force: true })
})

test('a copy has files of its own, and links as they are', async () => {
  await writeFile(join(root, 'from/run.sh'), 'echo', { mode: 0o755 })
  await writeFile(join(root, 'from/data/x'), 'x')
  await symlink('data/x', join(root, 'from/inner'))
  await symlink('/nowhere/at/all', join(root, 'from/outer'))
  await copyTree(join(root, 'from'), join(root, 'to'))
  expect(await readlink(join(root, 'to/inner'))).toBe('data/x')
  expect(await readlink(join(root, 'to/outer'))).toBe('/nowhere/at/all')
  expect((await stat(join(root, 'to/run.sh'))).mode & 0o777).toBe(0o755)
  expect((await lstat(join(root, 'to/data/x'))).ino).not.toBe((await lstat(join(root, 'from/data/x'))).ino)
})

test('its owner may write what could only be read', async () => {
  await writeFile(join(root, 'from/data/x'), 'x', { mode: 0o444 })
  await chmod(join(root, 'from/data'), 0o555)
  await copyTree(join(root, 'from'), join(root, 'to'))
  expect((await stat(join(root, 'to/data/x'))).mode & 0o777).toBe(0o644)
  expect((await stat(join(root, 'to/data'))).mode & 0o777).toBe(0o755)
  expect(await readFile(join(root, 'to/data/x'), 'utf8')).toBe('x')
})

test('an empty directory may be there already', async () => {
  await writeFile(join(root, 'from/data/x'), 'x')
  await mkdir(join(root, 'to'), { mode: 0o755 })
  await copyTree(join(root, 'from'), join(root, 'to'))
  expect(await readFile(join(root, 'to/data/x'), 'utf8')).toBe('x')
  expect((await stat(join(root, 'to'))).mode & 0o777).toBe(0o700)
})

test('nothing that is there is written over', async () => {
  await writeFile(join(root, 'from/x'), 'new')
  await mkdir(join(root, 'to'))
  await writeFile(join(root, 'to/x'), 'old')
  await expect(copyTree(join(root, 'from'), join(root, 'to'))).rejects.toThrow(/already exists/)
  expect(await readFile(join(root, 'to/x'), 'utf8')).toBe('old')
})
