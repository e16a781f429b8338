import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { renameSync, symlinkSync, unlinkSync } from 'node:fs'
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { packDirectory, type PackOptions } from './pack.ts'
import { openInside } from './safe-open.ts'
import { unpackArchive } from './unpack.ts'

let home: string
let tree: string

beforeEach(async () => {
  home = await mkdtemp(join(await realpath(tmpdir()), 'molehill-pack-'))
  tree = join(home, 'tree')
  await mkdir(tree)
})

afterEach(() => rm(home, { recursive: true, force: true }))

async function list(archive: Buffer): Promise<string[]> {
  await writeFile(join(home, 'archive.tgz'), archive)
  const names = execFileSync('tar', ['--quoting-style=literal', '-tzf', join(home, 'archive.tgz')], {
    encoding: 'utf8',
  })
  return names.split('\n').filter((name) => name !== '')
}

function pack(options: PackOptions = {}): Promise<Buffer> {
  return buffer(packDirectory(tree, undefined, options))
}

describe('what goes in', () => {
  test('a tree comes back from GNU tar and from our own gate as it was', async () => {
    const far = join(tree, 'a'.repeat(120), 'b'.repeat(130), '\u6771'.repeat(60))
    await mkdir(far, { recursive: true })
    await mkdir(join(tree, 'empty'))
    await writeFile(join(far, 'Stra\u00dfe.csv'), 'far down')
    await writeFile(join(tree, 'nothing'), '')
    await writeFile(join(tree, 'exact'), Buffer.alloc(1024, 'x'))
    await writeFile(join(tree, 'large'), Buffer.alloc(3_000_001, 'abc'))
    await writeFile(join(tree, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
    await link(join(tree, 'run.sh'), join(tree, 'same.sh'))
    await symlink('run.sh', join(tree, 'start'))
    await symlink(join(tree, 'run.sh'), join(tree, 'empty', 'absolute'))
    await writeFile(join(home, 'archive.tgz'), await pack())
    await mkdir(join(home, 'gnu'))
    execFileSync('tar', ['-xzf', join(home, 'archive.tgz'), '-C', join(home, 'gnu')])
    await unpackArchive(packDirectory(tree), join(home, 'own'))
    expect(await readlink(join(home, 'own', 'empty', 'absolute'))).toBe('../run.sh')
    for (const copy of ['gnu', 'own']) {
      expect(() => execFileSync('diff', ['-r', tree, join(home, copy)])).not.toThrow()
      expect(await readlink(join(home, copy, 'start'))).toBe('run.sh')
      expect((await lstat(join(home, copy, 'run.sh'))).mode & 0o777).toBe(0o755)
    }
  })

  test('names are relative to the directory, sorted, without an entry for itself', async () => {
    await mkdir(join(tree, 'b'))
    await writeFile(join(tree, 'b', 'c'), '')
    await writeFile(join(tree, 'a'), '')
    expect(await list(await pack())).toEqual(['a', 'b/', 'b/c'])
  })

  test('an empty directory is an archive without entries', async () => {
    expect(gunzipSync(await pack())).toEqual(Buffer.alloc(1024))
  })

  test('what is excluded stays out with all that lies in it', async () => {
    await mkdir(join(tree, '.git', 'objects'), { recursive: true })
    await writeFile(join(tree, '.git', 'objects', 'x'), '')
    await writeFile(join(tree, 'a.log'), '')
    await writeFile(join(tree, 'kept'), '')
    const exclude = (path: string) => path === '.git' || path.endsWith('.log')
    expect(await list(await pack({ exclude }))).toEqual(['kept'])
  })

  test('all of it lies in a folder with texts beside it, where one is asked for', async () => {
    await mkdir(join(tree, 'data'))
    await writeFile(join(tree, 'data', 'a.txt'), 'a')
    await writeFile(join(tree, 'own.log'), 'of the tree')
    await symlink('data/a.txt', join(tree, 'to-a'))
    const additions = { 'note.log': 'put beside it', 'own.log': 'taken' }
    const archive = await pack({ folder: 'job_1', additions })
    const names = ['note.log', 'data/', 'data/a.txt', 'own.log', 'to-a']
    expect(await list(archive)).toEqual(['job_1/', ...names.map((name) => `job_1/${name}`)])
    const read = (name: string) =>
      execFileSync('tar', ['-xzOf', join(home, 'archive.tgz'), `job_1/${name}`], { encoding: 'utf8' })
    expect([read('note.log'), read('own.log')]).toEqual(['put beside it', 'of the tree'])
    await unpackArchive(Readable.from([archive]), join(home, 'again'))
    expect(await readlink(join(home, 'again', 'job_1', 'to-a'))).toBe('data/a.txt')
  })

  test('links that lead out, named pipes and sockets stay out and are told', async () => {
    await writeFile(join(home, 'secret'), 'secret')
    await symlink('../secret', join(tree, 'out'))
    await symlink('/etc', join(tree, 'etc'))
    await symlink('nothing', join(tree, 'dangling'))
    await symlink('..', join(tree, 'up'))
    execFileSync('mkfifo', [join(tree, 'pipe')])
    await writeFile(join(tree, 'kept'), '')
    const server = createServer().listen(join(tree, 'socket'))
    await once(server, 'listening')
    const leftOut: string[] = []
    try {
      const archive = await pack({ onLeftOut: (path, why) => leftOut.push(`${path}: ${why}`) })
      expect(await list(archive)).toEqual(['kept'])
      expect(gunzipSync(archive).includes('secret')).toBe(false)
    } finally {
      server.close()
    }
    expect(leftOut.map((line) => line.split(':')[0])).toEqual([
      'dangling',
      'etc',
      'out',
      'pipe',
      'socket',
      'up',
    ])
    expect(leftOut[3]).toContain('named pipe')
  })

  test('a link to something that stays out stays out too, so that our own gate takes the archive', async () => {
    execFileSync('mkfifo', [join(tree, 'pipe')])
    await mkdir(join(tree, 'cache'))
    await writeFile(join(tree, 'cache', 'x'), '')
    await writeFile(join(tree, 'kept'), 'kept')
    await symlink('pipe', join(tree, 'to-pipe'))
    await symlink('to-pipe', join(tree, 'to-link'))
    await symlink('cache/x', join(tree, 'to-excluded'))
    await symlink('kept', join(tree, 'to-kept'))
    await symlink('../tree/kept', join(tree, 'around'))
    const leftOut: string[] = []
    const archive = await pack({
      exclude: (path) => path === 'cache',
      onLeftOut: (path) => leftOut.push(path),
    })
    expect(await list(archive)).toEqual(['around', 'kept', 'to-kept'])
    expect(leftOut).toEqual(['pipe', 'to-excluded', 'to-link', 'to-pipe'])
    await unpackArchive(Readable.from([archive]), join(home, 'again'))
    expect(await readlink(join(home, 'again', 'around'))).toBe('kept')
  })

  test('a name that is not UTF-8 is kept, with its odd bytes written out', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${tree}/caf`), Buffer.from([0xe9])]), 'coffee')
    expect(await list(await pack())).toEqual(['caf%E9'])
  })

  test('an open directory is packed from its handle and closed', async () => {
    await mkdir(join(tree, 'results'))
    await writeFile(join(tree, 'results', 'table'), '')
    const opened = await openInside(tree, 'results')
    await rename(join(tree, 'results'), join(tree, 'moved'))
    await symlink('/etc', join(tree, 'results'))
    expect(await list(await buffer(packDirectory(opened)))).toEqual(['table'])
    await expect.poll(() => opened.handle.fd, { message: 'the handle should be closed' }).toBe(-1)
  })
})

describe('while things change', () => {
  test('a file that shrinks meanwhile and one that vanishes leave an archive that is whole', async () => {
    await writeFile(join(tree, 'a-first'), randomBytes(4_000_000))
    await writeFile(join(tree, 'b-vanishes'), 'content')
    await writeFile(join(tree, 'c-shrinks'), randomBytes(12_000_000))
    await writeFile(join(tree, 'd-last'), 'content')
    const stream: AsyncIterable<Buffer> = packDirectory(tree)
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of stream) {
      if (bytes === 0) await unlink(join(tree, 'b-vanishes'))
      if (bytes < 8_000_000 && bytes + chunk.length >= 8_000_000)
        await truncate(join(tree, 'c-shrinks'), 2_000)
      bytes += chunk.length
      chunks.push(chunk)
    }
    const archive = Buffer.concat(chunks)
    expect(await list(archive)).toEqual(['a-first', 'c-shrinks', 'd-last'])
    expect(gunzipSync(archive).subarray(-1024 - 1024 - 512 * 1000, -1024 - 1024)).toEqual(
      Buffer.alloc(512 * 1000),
    )
  })

  test('a directory that is exchanged for a link again and again never leaks what lies outside', async () => {
    await mkdir(join(home, 'outside'))
    await writeFile(join(home, 'outside', 'table'), 'secret')
    await mkdir(join(tree, 'results'))
    await writeFile(join(tree, 'results', 'table'), 'public')
    const until = performance.now() + 1000
    const exchange = async () => {
      while (performance.now() < until) {
        // At once, so that it falls between two steps of the packing.
        renameSync(join(tree, 'results'), join(tree, 'kept'))
        symlinkSync('../outside', join(tree, 'results'))
        await setImmediate()
        unlinkSync(join(tree, 'results'))
        renameSync(join(tree, 'kept'), join(tree, 'results'))
        await setImmediate()
      }
    }
    const seen = { public: 0, secret: 0 }
    const download = async () => {
      while (performance.now() < until) {
        const archive = gunzipSync(await pack())
        if (archive.includes('public')) seen.public += 1
        if (archive.includes('secret')) seen.secret += 1
      }
    }
    await Promise.all([exchange(), download(), download()])
    expect(seen.secret).toBe(0)
    expect(seen.public).toBeGreaterThan(0)
  })
})

describe('when it breaks', () => {
  test('a directory that is not there destroys the stream', async () => {
    await expect(buffer(packDirectory(join(home, 'nothing')))).rejects.toThrow('File not found')
  })

  test('a root that is a link is not followed', async () => {
    await symlink('/etc', join(home, 'etc'))
    await expect(buffer(packDirectory(join(home, 'etc')))).rejects.toThrow('File not found')
  })

  test('a file that may not be read destroys the stream, after what came before it', async () => {
    await writeFile(join(tree, 'first'), 'x')
    await writeFile(join(tree, 'locked'), 'x', { mode: 0o000 })
    await expect(asOrdinaryUser(() => pack())).rejects.toThrow('EACCES')
  })

  test('a tree that is too deep destroys the stream', async () => {
    await mkdir(join(tree, ...Array.from({ length: 300 }, () => 'd')), { recursive: true })
    await expect(pack()).rejects.toThrow(/deeper than 256/)
  })

  test('the signal destroys the stream', async () => {
    await writeFile(join(tree, 'large'), Buffer.alloc(20_000_000, 'x'))
    const abort = new AbortController()
    const stream = packDirectory(tree, abort.signal)
    stream.once('data', () => abort.abort())
    await expect(buffer(stream)).rejects.toThrow('aborted')
  })

  test('a reader that goes away leaves no file open', async () => {
    for (let index = 0; index < 20; index += 1)
      await writeFile(join(tree, `f${index}`), Buffer.alloc(2_000_000, 'x'))
    const before = (await readdir('/dev/fd')).length
    const reader = new Writable({ write: (_chunk, _encoding, done) => done(new Error('client went away')) })
    await expect(pipeline(packDirectory(tree), reader)).rejects.toThrow('client went away')
    const unread = packDirectory(await openInside(tree, ''))
    unread.destroy()
    await expect
      .poll(async () => (await readdir('/dev/fd')).length, { message: 'descriptors should be closed' })
      .toBeLessThanOrEqual(before)
  })
})

/** Root may read everything, so as root the work is done under another user id, to whom the directory is given. */
async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  const nobody = 65534
  if (process.geteuid?.() !== 0) return work()
  for (const path of [home, tree]) {
    await chown(path, nobody, nobody)
    await chmod(path, 0o755)
  }
  process.seteuid?.(nobody)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
  }
}
