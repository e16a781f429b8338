import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { syncTree } from './sync-tree.ts'

// What really outlives a power cut is shown by `test/torture/power.ts`.
let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'molehill-sync-'))
})
afterEach(async () => rm(home, { recursive: true, force: true }))

async function fill(files: number): Promise<void> {
  await mkdir(join(home, 'deep', 'deeper'), { recursive: true })
  for (let file = 0; file < files; file += 1)
    await writeFile(join(home, file % 2 === 0 ? 'deep/deeper' : '.', `${file}`), '')
  await symlink('/nowhere', join(home, 'link'))
}

it('syncs few files one by one and does not stumble over links', async () => {
  await fill(20)
  const whole = vi.fn<(directory: string) => Promise<void>>()
  await syncTree(home, whole)
  expect(whole).not.toHaveBeenCalled()
})

it('syncs the file system at once for many files', async () => {
  await fill(100)
  const whole = vi.fn<(directory: string) => Promise<void>>(async () => undefined)
  await syncTree(home, whole)
  expect(whole.mock.calls).toEqual([[home]])
  await syncTree(home)
})

it('syncs many files one by one where the file system cannot be synced', async () => {
  await fill(100)
  await syncTree(home, () => Promise.reject(new Error('no such program')))
})

it('throws when there is nothing to sync', async () => {
  await expect(syncTree(join(home, 'missing'))).rejects.toThrow('ENOENT')
})
