import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, realpath, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Problem } from '../problem.ts'
import { listDirectory } from './list-directory.ts'
import { openInside } from './safe-open.ts'
import { resolveInside } from './safe-path.ts'

let home: string
let root: string

beforeEach(async () => {
  home = await mkdtemp(join(await realpath(tmpdir()), 'molehill-open-'))
  root = join(home, 'work')
  await mkdir(join(root, 'results'), { recursive: true })
  await writeFile(join(root, 'results', 'table.csv'), 'a,b')
  await writeFile(join(home, 'secret'), 'secret')
})

afterEach(() => rm(home, { recursive: true, force: true }))

async function read(path: string): Promise<string> {
  const { handle } = await openInside(root, path)
  try {
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'opened',
    (error: unknown) => (error instanceof Problem ? error.code : String(error)),
  )
}

const unsafePaths = [
  ['a parent step', '../secret'],
  ['a parent step inside', 'results/../../secret'],
  ['a parent step that stays inside', 'results/../results/table.csv'],
  ['an absolute path', '/etc/passwd'],
  ['a NUL', 'results\0/table.csv'],
  ['a backslash', '..\\secret'],
  ['a long part', 'x'.repeat(256)],
  ['a long path', 'x/'.repeat(3000)],
] as const

describe('the text of a path', () => {
  test.each(unsafePaths)('%s is refused', (_, path) => {
    expect(() => resolveInside(root, path)).toThrow(expect.objectContaining({ code: 'path-unsafe' }))
  })

  test('plain paths, empty parts and dots name what lies inside', () => {
    expect(['', '.', 'a', './a//b/', '%2e%2e/x', '...'].map((path) => resolveInside('/r', path))).toEqual([
      '/r',
      '/r',
      '/r/a',
      '/r/a/b',
      '/r/%2e%2e/x',
      '/r/...',
    ])
  })
})

describe('opening', () => {
  test('a file, a directory and the root', async () => {
    expect(await read('results/table.csv')).toBe('a,b')
    const directory = await openInside(root, 'results/')
    const top = await openInside(root, '')
    expect([directory.path, directory.stats.isDirectory(), top.path]).toEqual([
      join(root, 'results'),
      true,
      root,
    ])
    await Promise.all([directory.handle.close(), top.handle.close()])
  })

  test.each(unsafePaths)('%s is refused', async (_, path) => {
    expect(await codeOf(openInside(root, path))).toBe('path-unsafe')
  })

  test('what is not there is missing, with the message that clients know', async () => {
    await expect(openInside(root, 'nothing')).rejects.toThrow('File not found')
    expect(await codeOf(openInside(root, 'results/table.csv/x'))).toBe('file-missing')
    expect(await codeOf(openInside(join(home, 'no-root'), 'x'))).toBe('file-missing')
  })

  test('links to inside are followed, also through each other', async () => {
    await symlink('results/table.csv', join(root, 'latest'))
    await symlink(join(root, 'results'), join(root, 'absolute'))
    await symlink('../latest', join(root, 'results', 'back'))
    expect(await read('latest')).toBe('a,b')
    expect(await read('absolute/back')).toBe('a,b')
  })

  test('links that lead out are refused, as last part and before it', async () => {
    await symlink('../secret', join(root, 'file'))
    await symlink('..', join(root, 'up'))
    await symlink('/', join(root, 'top'))
    await symlink('up/secret', join(root, 'chain'))
    await mkdir(join(home, 'work-too'))
    await symlink('../work-too', join(root, 'neighbour'))
    const paths = ['file', 'up', 'up/secret', 'top/etc/passwd', 'chain', 'neighbour', 'up/work-too']
    expect(await Promise.all(paths.map((path) => codeOf(openInside(root, path))))).toEqual(
      paths.map(() => 'path-unsafe'),
    )
  })

  test('loops and dangling links are missing', async () => {
    await symlink('loop', join(root, 'loop'))
    await symlink('nothing', join(root, 'dangling'))
    expect(await codeOf(openInside(root, 'loop'))).toBe('file-missing')
    expect(await codeOf(openInside(root, 'dangling'))).toBe('file-missing')
  })

  test('a root that was exchanged for a link is not entered', async () => {
    await rename(root, join(home, 'away'))
    await symlink('/etc', root)
    expect(await codeOf(openInside(root, 'passwd'))).toBe('file-missing')
  })

  test('named pipes, devices and sockets are missing, and nothing waits for them', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')])
    await symlink('/dev/zero', join(root, 'zero'))
    await symlink('pipe', join(root, 'to-pipe'))
    const server = createServer().listen(join(root, 'socket'))
    await new Promise((resolve) => server.on('listening', resolve))
    try {
      expect(await codeOf(openInside(root, 'pipe'))).toBe('file-missing')
      expect(await codeOf(openInside(root, 'to-pipe'))).toBe('file-missing')
      expect(await codeOf(openInside(root, 'socket'))).toBe('file-missing')
      expect(await codeOf(openInside(root, 'zero'))).toBe('path-unsafe')
    } finally {
      server.close()
    }
  })

  test('no descriptor stays open', async () => {
    await symlink('../secret', join(root, 'file'))
    const before = await openDescriptors()
    for (let round = 0; round < 20; round += 1) {
      await codeOf(openInside(root, 'file'))
      await codeOf(openInside(root, 'nothing'))
      await read('results/table.csv')
      await listDirectory(root, '')
    }
    expect(await openDescriptors()).toBeLessThan(before + 10)
  })

  test('a directory that is exchanged for a link again and again never leaks what lies outside', async () => {
    await mkdir(join(home, 'outside'))
    await writeFile(join(home, 'outside', 'table.csv'), 'secret')
    const exchanged = join(root, 'results')
    const until = performance.now() + 1000
    const seen = new Map<string, number>()
    const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
    const exchange = async () => {
      while (performance.now() < until) {
        await rename(exchanged, join(root, 'kept'))
        await symlink(join(home, 'outside'), exchanged)
        await unlink(exchanged)
        await rename(join(root, 'kept'), exchanged)
      }
    }
    const download = async () => {
      while (performance.now() < until) {
        const content = read('results/table.csv').catch((error: unknown) =>
          error instanceof Problem ? error.code : String(error),
        )
        count(await content)
      }
    }
    await Promise.all([exchange(), download(), download(), download()])
    expect([...seen.keys()].filter((what) => !['a,b', 'path-unsafe', 'file-missing'].includes(what))).toEqual(
      [],
    )
    // The race was really run: both sides of it were met.
    expect(seen.get('a,b')).toBeGreaterThan(0)
    expect((seen.get('path-unsafe') ?? 0) + (seen.get('file-missing') ?? 0)).toBeGreaterThan(0)
  })
})

describe('listing', () => {
  test('tells names, types, sizes and times, sorted', async () => {
    execFileSync('mkfifo', [join(root, 'b-pipe')])
    await symlink('/etc/passwd', join(root, 'c-link'))
    await writeFile(join(root, 'a.txt'), '12345')
    const entries = await listDirectory(root, '')
    expect(entries.map(({ name, type }) => [name, type])).toEqual([
      ['a.txt', 'file'],
      ['b-pipe', 'other'],
      ['c-link', 'link'],
      ['results', 'directory'],
    ])
    expect(entries[0]?.sizeBytes).toBe(5)
    expect(Math.abs(Date.now() - Number(entries[0]?.modifiedAt))).toBeLessThan(60_000)
  })

  test('many entries all come', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `f${String(index).padStart(3, '0')}`)
    await Promise.all(names.map((name) => writeFile(join(root, 'results', name), '')))
    expect((await listDirectory(root, 'results')).map((entry) => entry.name)).toEqual([...names, 'table.csv'])
  })

  test('a directory outside is refused, a file is no directory', async () => {
    await symlink('/etc', join(root, 'etc'))
    expect(await codeOf(listDirectory(root, 'etc'))).toBe('path-unsafe')
    expect(await codeOf(listDirectory(root, '../work'))).toBe('path-unsafe')
    expect(await codeOf(listDirectory(root, 'results/table.csv'))).toBe('file-missing')
  })
})

async function openDescriptors(): Promise<number> {
  return (await readdir('/dev/fd')).length
}
