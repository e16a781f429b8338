import { chmod, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { removeTree } from './remove-tree.ts'

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-remove-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

it('removes files, links and directories, also those that cannot be written or looked into', async () => {
  const root = await scratch()
  const tree = join(root, 'tree')
  for (const name of ['plain', 'closed', 'unreadable'])
    await mkdir(join(tree, name, 'deep'), { recursive: true })
  for (const name of ['plain', 'closed', 'unreadable']) await writeFile(join(tree, name, 'deep', 'file'), 'x')
  await Promise.all(Array.from({ length: 100 }, (_, index) => writeFile(join(tree, `file-${index}`), 'x')))
  await symlink('nowhere', join(tree, 'dangling'))
  await chmod(join(tree, 'closed', 'deep'), 0o500)
  await chmod(join(tree, 'closed'), 0o500)
  await chmod(join(tree, 'unreadable'), 0)
  await removeTree(tree)
  expect(existsSync(tree)).toBe(false)
})

it('removes one file or link, and is content with what is not there', async () => {
  const root = await scratch()
  await mkdir(join(root, 'kept'))
  await writeFile(join(root, 'kept', 'file'), 'x')
  await symlink('kept', join(root, 'link'))
  await writeFile(join(root, 'file'), 'x')
  for (const name of ['link', 'file', 'nothing', 'nothing/at/all']) await removeTree(join(root, name))
  expect(await readdir(root)).toEqual(['kept'])
  expect(await readdir(join(root, 'kept'))).toEqual(['file'])
})

it('follows no link that takes the place of a directory while it is at work', async () => {
  const root = await scratch()
  const outside = join(root, 'outside')
  await mkdir(outside)
  await writeFile(join(outside, 'file'), 'x')
  for (let round = 0; round < 30; round += 1) {
    const tree = join(root, `tree-${round}`)
    for (let index = 0; index < 20; index += 1) {
      await mkdir(join(tree, `d${index}`), { recursive: true })
      await writeFile(join(tree, `d${index}`, 'file'), 'x')
    }
    const removal = removeTree(tree).catch(() => undefined)
    for (let index = 19; index >= 0; index -= 1) {
      const moved = await rename(join(tree, `d${index}`), join(root, `moved-${round}-${index}`)).then(
        () => true,
        () => false,
      )
      if (moved) await symlink(outside, join(tree, `d${index}`)).catch(() => undefined)
    }
    await removal
  }
  expect(await readdir(outside)).toEqual(['file'])
})

it('is content when two remove the same tree at once', async () => {
  const root = await scratch()
  for (let round = 0; round < 10; round += 1) {
    const tree = join(root, `tree-${round}`)
    for (let each = 0; each < 20; each += 1) {
      await mkdir(join(tree, `directory-${each}`, 'deeper'), { recursive: true })
      await writeFile(join(tree, `directory-${each}`, 'deeper', 'file'), 'content')
    }
    await Promise.all([removeTree(tree), removeTree(tree)])
    expect(existsSync(tree)).toBe(false)
  }
})
