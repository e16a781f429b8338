import { lstat, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { handOver } from './hand-over.ts'
import { openWay } from './open-way.ts'

const owner = { userId: 65_534, groupId: 65_534 }
const isRoot = process.geteuid?.() === 0

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-hand-over-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

it.runIf(isRoot)('gives away all but what links lead to (only root can try it)', async () => {
  const root = await scratch()
  await mkdir(join(root, 'tree', 'deep'), { recursive: true })
  await writeFile(join(root, 'outside'), 'x')
  await writeFile(join(root, 'tree', 'deep', '-file'), 'x')
  await symlink(join(root, 'outside'), join(root, 'tree', 'link'))
  await handOver(join(root, 'tree'), owner)
  for (const name of ['', 'deep', 'deep/-file', 'link'])
    expect(await lstat(join(root, 'tree', name))).toMatchObject({ uid: 65_534, gid: 65_534 })
  expect(await stat(join(root, 'outside'))).toMatchObject({ uid: 0 })
  await handOver(join(root, 'tree', 'link'), { userId: 0, groupId: 0 })
  expect(await lstat(join(root, 'tree', 'link'))).toMatchObject({ uid: 0 })
})

it.runIf(isRoot)('what is made on a way belongs to the owner above (only root can try it)', async () => {
  const root = await scratch()
  await mkdir(join(root, 'own'))
  await handOver(join(root, 'own'), owner)
  const { handle } = await openWay(root, ['own', 'new', 'newer'])
  await handle.close()
  expect(await stat(join(root, 'own', 'new', 'newer'))).toMatchObject({ uid: 65_534, gid: 65_534 })
})

it('a way makes what is missing and follows no link', async () => {
  const root = await scratch()
  await mkdir(join(root, 'there'))
  await symlink('there', join(root, 'link'))
  await writeFile(join(root, 'file'), 'x')
  const { handle, path } = await openWay(root, ['there', 'new'])
  await writeFile(join(path, 'file'), 'x')
  await handle.close()
  expect((await stat(join(root, 'there', 'new', 'file'))).isFile()).toBe(true)
  await expect(openWay(root, ['link', 'new'])).rejects.toMatchObject({ code: 'file-missing' })
  await expect(openWay(root, ['file'])).rejects.toMatchObject({ code: 'file-missing' })
})
