import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeReadable } from './readable-tree.ts'

test('everybody may read the files and enter the directories, and nobody more than before may write', async () => {
  const root = await mkdtemp(join(tmpdir(), 'molehill-readable-'))
  try {
    const tree = join(root, 'tree')
    await mkdir(join(tree, 'data'), { recursive: true, mode: 0o700 })
    await writeFile(join(tree, 'data/x'), 'x', { mode: 0o600 })
    await writeFile(join(tree, 'run.sh'), 'x', { mode: 0o700 })
    await writeFile(join(root, 'outside'), 'x', { mode: 0o600 })
    await symlink('../outside', join(tree, 'link'))
    await makeReadable(tree)
    const modeOf = async (path: string) => ((await stat(join(root, path))).mode & 0o777).toString(8)
    expect(
      await Promise.all(['tree', 'tree/data', 'tree/data/x', 'tree/run.sh', 'outside'].map(modeOf)),
    ).toEqual(['755', '755', '644', '744', '600'])
  } finally {
    await rm(root, { recursive: true, force: true })
  }
})
