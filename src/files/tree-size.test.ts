import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sizeOfTree, TreeSizes } from './tree-size.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-size-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

test('counts files however deep, and of a link the link only', async () => {
  const empty = await sizeOfTree(directory)
  await writeFile(join(directory, 'a'), 'x'.repeat(1000))
  expect(await sizeOfTree(directory)).toBeGreaterThanOrEqual(empty + 1000)
  await mkdir(join(directory, 'b', 'c'), { recursive: true })
  await writeFile(join(directory, 'b', 'c', 'd'), 'x'.repeat(50_000))
  const before = await sizeOfTree(directory)
  expect(before).toBeGreaterThanOrEqual(empty + 51_000)
  await symlink('/', join(directory, 'away'))
  expect(await sizeOfTree(directory)).toBeLessThan(before + 10_000)
  expect(await sizeOfTree(join(directory, 'nothing'))).toBe(0)
})

test('what does not change any more is measured once', async () => {
  const sizes = new TreeSizes()
  const first = await sizes.of(directory, 5)
  await writeFile(join(directory, 'a'), 'x'.repeat(50_000))
  expect(await sizes.of(directory, 5)).toBe(first)
  expect(await sizes.of(directory, undefined)).toBeGreaterThan(first + 40_000)
  expect(await sizes.of(directory, 6)).toBeGreaterThan(first + 40_000)
})
