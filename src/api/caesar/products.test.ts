import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openProduct, readProduct } from './products.ts'

let home: string
let work: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'molehill-products-'))
  work = join(home, 'work')
  await mkdir(join(work, 'maps/deep'), { recursive: true })
  for (const name of [
    'catalog-2.json',
    'catalog-10.json',
    'catalog_fitcomp-1.json',
    'maps/a.png',
    'maps/deep/b.png',
  ])
    await writeFile(join(work, name), name)
  await writeFile(join(home, 'secret.json'), 'secret')
  await symlink(join(home, 'secret.json'), join(work, 'catalog-0.json'))
  await mkdir(join(work, 'catalog-1.json'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

async function found(...paths: string[]): Promise<string | undefined> {
  const outputs = paths.map((path) => ({ path, title: '', description: '', role: 'sources' }))
  const description = { title: '', description: '', category: '', inputs: [], outputs }
  const opened = await openProduct(description, 'sources', work)
  if (opened === undefined) return undefined
  expect((await readProduct(opened)).toString()).toContain(basename(opened.path))
  return opened.path.slice(work.length + 1)
}

test.each([
  ['catalog-*.json', 'catalog-10.json'],
  ['catalog*-1.json', 'catalog_fitcomp-1.json'],
  ['*-*2*.json', 'catalog-2.json'],
  ['maps/*.png', 'maps/a.png'],
  ['*/*/*.png', 'maps/deep/b.png'],
  ['catalog-2.json', 'catalog-2.json'],
  ['nothing.json', undefined],
  ['*.dat', undefined],
  ['none/*.png', undefined],
  ['catalog-0.json', undefined],
  ['../secret.json', undefined],
  ['../*.json', undefined],
])('%s finds %s: files inside only, the first by name', async (path, name) => {
  expect(await found(path)).toBe(name)
})

test('of several outputs the first that is there', async () => {
  expect(await found('none.json', 'maps/*.png')).toBe('maps/a.png')
})
