import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { removeTree } from './remove-tree.ts'

test('a tree that two remove at once is gone, and neither fails', async () => {
  const home = await mkdtemp(join(tmpdir(), 'molehill-remove-'))
  try {
    for (let round = 0; round < 10; round += 1) {
      const tree = join(home, `tree-${round}`)
      for (let each = 0; each < 20; each += 1) {
        await mkdir(join(tree, `directory-${each}`, 'deeper'), { recursive: true })
        await writeFile(join(tree, `directory-${each}`, 'deeper', 'file'), 'content')
      }
      await Promise.all([removeTree(tree), removeTree(tree)])
      expect(existsSync(tree)).toBe(false)
    }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
})
