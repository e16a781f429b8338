import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeFileDurably } from './durable-file.ts'
import { removeTree } from './remove-tree.ts'

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(await realpath(tmpdir()), 'molehill-durable-'))
})

afterEach(() => rm(home, { recursive: true, force: true }))

test('a file is written and replaced with the mode that was asked for, and nothing else stays', async () => {
  const path = join(home, 'preferences.json')
  await writeFileDurably(path, 'one', 0o644)
  await writeFileDurably(path, Buffer.from('two'), 0o600)
  expect(await readFile(path, 'utf8')).toBe('two')
  expect((await lstat(path)).mode & 0o7777).toBe(0o600)
  expect(await readdir(home)).toEqual(['preferences.json'])
})

test('writers at the same time leave the whole content of one of them', async () => {
  const path = join(home, 'file')
  const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(50_000))
  await Promise.all(contents.map((content) => writeFileDurably(path, content, 0o600)))
  expect(contents).toContain(await readFile(path, 'utf8'))
  expect(await readdir(home)).toEqual(['file'])
})

test('a write that fails leaves the old state and no temporary file', async () => {
  const path = join(home, 'directory')
  await mkdir(join(path, 'full'), { recursive: true })
  await expect(writeFileDurably(path, 'x', 0o600)).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/)
  expect(await readdir(home)).toEqual(['directory'])
  await expect(writeFileDurably(join(home, 'no', 'file'), 'x', 0o600)).rejects.toThrow('ENOENT')
})

test('a tree is removed with its links, but not what they point to', async () => {
  await mkdir(join(home, 'tree', 'deep'), { recursive: true })
  await writeFile(join(home, 'kept'), 'kept')
  await symlink(home, join(home, 'tree', 'deep', 'up'))
  await symlink('../kept', join(home, 'tree', 'kept'))
  await removeTree(join(home, 'tree'))
  await removeTree(join(home, 'tree'))
  expect(await readdir(home)).toEqual(['kept'])
})

test('a tree with directories that nobody may write is removed by an ordinary user', async () => {
  const tree = join(home, 'tree')
  await mkdir(join(tree, 'locked', 'inner'), { recursive: true })
  await writeFile(join(tree, 'locked', 'inner', 'file'), 'x')
  await asOrdinaryUser(home, async () => {
    await chmod(join(tree, 'locked', 'inner'), 0o500)
    await chmod(join(tree, 'locked'), 0o000)
    await removeTree(tree)
  })
  expect(await readdir(home)).toEqual([])
})

/** Root may do everything, so as root the work is done under another user id, to whom the directory is given. */
async function asOrdinaryUser(directory: string, work: () => Promise<void>): Promise<void> {
  const nobody = 65534
  if (process.geteuid?.() !== 0) return work()
  for (const entry of await readdir(directory, { recursive: true }))
    await chown(join(directory, entry), nobody, nobody)
  await chown(directory, nobody, nobody)
  process.seteuid?.(nobody)
  try {
    await work()
  } finally {
    process.seteuid?.(0)
  }
}
