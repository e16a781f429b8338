import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { tarGzip, type TarMember } from '../../test/helpers/tar.ts'
import { noIsolation } from '../isolation/isolation.ts'
import { Problem, type ProblemCode } from '../problem.ts'
import { defaultArchiveLimits, type ArchiveLimits } from './archive-limits.ts'
import { StartTurns } from './start-turns.ts'
import { unpackArchive } from './unpack.ts'

let home: string
let target: string

beforeEach(async () => {
  home = await mkdtemp(join(await realpath(tmpdir()), 'molehill-unpack-'))
  target = join(home, 'work')
})

afterEach(() => rm(home, { recursive: true, force: true }))

function unpack(archive: Buffer, limits: Partial<ArchiveLimits> = {}) {
  return unpackArchive(Readable.from([archive], { objectMode: false }), target, {
    ...defaultArchiveLimits,
    ...limits,
  })
}

async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  const outcome = await promise.then(
    () => 'it was unpacked',
    (error: unknown) => error,
  )
  if (outcome instanceof Problem) return outcome
  throw new Error(`expected a problem, got ${String(outcome)}`)
}

async function refusalOf(archive: Buffer, limits: Partial<ArchiveLimits> = {}): Promise<object> {
  const { code, message } = await problemOf(unpack(archive, limits))
  return { code, message, left: await readdir(home) }
}

/** What a refusal looks like; nothing may be left. */
function refused(code: ProblemCode, message: RegExp): object {
  return { code, message: expect.stringMatching(message), left: [] }
}

const sound: TarMember = { name: 'sound.txt', content: 'sound' }

describe('what becomes of the target', () => {
  test('each kind of refusal comes back from the process as it is, and leaves nothing', async () => {
    expect(await refusalOf(tarGzip([sound, { name: '../evil' }]))).toEqual(
      refused('archive-unsafe', /parent step/),
    )
    expect(await refusalOf(Buffer.from('no archive'))).toEqual(
      refused('archive-invalid', /not a gzip stream/),
    )
    expect(await refusalOf(tarGzip([sound, sound]))).toEqual(refused('archive-unsafe', /twice/))
    expect(await refusalOf(tarGzip([sound]), { unpackedBytes: 4 })).toEqual(
      refused('archive-too-large', /more than 4 bytes/),
    )
  })

  test('an upload beyond its cap is refused', async () => {
    expect(
      await refusalOf(tarGzip([{ name: 'r', content: randomBytes(100_000) }]), {
        uploadBytes: 500,
      }),
    ).toEqual(refused('archive-too-large', /larger than 500 bytes/))
  })

  test('an empty target that is there already is used', async () => {
    await mkdir(target)
    await unpack(tarGzip([sound]))
    expect(await readFile(join(target, 'sound.txt'), 'utf8')).toBe('sound')
  })

  test('a target with content is left as it is', async () => {
    await mkdir(target)
    await writeFile(join(target, 'mine'), 'mine')
    await expect(unpack(tarGzip([sound]))).rejects.toThrow(/ENOTEMPTY/)
    expect(await readdir(home)).toEqual(['work'])
    expect(await readdir(target)).toEqual(['mine'])
  })
})

describe('archives by common programs', () => {
  async function makeTree(): Promise<string> {
    const tree = join(home, 'tree')
    await mkdir(join(tree, 'empty'), { recursive: true })
    await mkdir(join(tree, 'deep', 'n'.repeat(120), 'm'.repeat(120)), { recursive: true })
    await writeFile(
      join(tree, 'deep', 'n'.repeat(120), 'm'.repeat(120), `${'f'.repeat(100)}.txt`),
      'far down',
    )
    await writeFile(join(tree, 'Stra\u00dfe \u6771\u4eac.csv'), 'a,b\n1,2\n')
    await writeFile(join(tree, 'nothing'), '')
    await writeFile(
      join(tree, 'random'),
      Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * i) % 253)),
    )
    await writeFile(join(tree, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
    await symlink('run.sh', join(tree, 'start'))
    await symlink('../start', join(tree, 'deep', 'again'))
    return tree
  }
  const python = (format: string) =>
    `import sys, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz", format=tarfile.${format})
t.add(sys.argv[1], arcname=".")
t.close()`
  const programs: readonly (readonly [string, (tree: string) => readonly string[]])[] = [
    ['GNU tar', (tree) => ['tar', '-C', tree, '-cz', '.']],
    ['GNU tar, pax', (tree) => ['tar', '--format=pax', '-C', tree, '-cz', '.']],
    ['GNU tar, gnu', (tree) => ['tar', '--format=gnu', '-C', tree, '-cz', '.']],
    ['python, gnu', (tree) => ['python3', '-c', python('GNU_FORMAT'), tree]],
    ['python, pax', (tree) => ['python3', '-c', python('PAX_FORMAT'), tree]],
    // Not on every machine; GNU tar and python are.
    ...['/usr/bin/bsdtar', '/usr/local/bin/bsdtar']
      .filter((program) => existsSync(program))
      .map((program) => [program, (tree: string) => [program, '-C', tree, '-czf', '-', '.']] as const),
  ]

  test.each(programs)('%s', async (_, command) => {
    const tree = await makeTree()
    const [program = '', ...parameters] = command(tree)
    const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'inherit'] })
    const { bytes } = await unpackArchive(child.stdout, target)
    expect(bytes).toBeGreaterThan(700_000)
    expect(await run('diff', ['-r', '--no-dereference', tree, target])).toBe('')
    expect(await readFile(join(target, 'deep/again'), 'utf8')).toBe('#!/bin/sh\n')
  })
})

describe('the process that unpacks', () => {
  const slow: Partial<ArchiveLimits> = { timeMs: 20_000 }

  test('ends when the signal aborts, and leaves nothing', async () => {
    const source = new PassThrough()
    source.write(tarGzip([sound]).subarray(0, 30))
    const abort = new AbortController()
    const result = unpackArchive(source, target, { ...defaultArchiveLimits, ...slow }, abort.signal)
    abort.abort(new Error('the client went away'))
    await expect(result).rejects.toThrow('the client went away')
    expect(await readdir(home)).toEqual([])
    expect(source.destroyed).toBe(false)
    source.destroy()
  })

  test('starts when it is its turn, and ends its turn when it reads', async () => {
    const turns = new StartTurns(1)
    const endTurn = await turns.take()
    const source = new PassThrough()
    const result = unpackArchive(source, target, defaultArchiveLimits, undefined, noIsolation, turns)
    const next = turns.take()
    source.write(tarGzip([sound]).subarray(0, 30))
    await nextTurn()
    expect(await readdir(home)).toEqual([])
    endTurn()
    // Nothing more comes to it, and still it is the next one's turn.
    const endNext = await next
    endNext()
    source.end(tarGzip([sound]).subarray(30))
    await expect(result).resolves.toMatchObject({ entries: 1 })
  })

  test('leaves its turn to others when its client goes away', async () => {
    const turns = new StartTurns(1)
    const endTurn = await turns.take()
    const abort = new AbortController()
    const source = new PassThrough()
    const result = unpackArchive(source, target, defaultArchiveLimits, abort.signal, noIsolation, turns)
    abort.abort(new Error('the client went away'))
    await expect(result).rejects.toThrow('the client went away')
    expect(await readdir(home)).toEqual([])
    endTurn()
    await expect(turns.take()).resolves.toBeTypeOf('function')
    source.destroy()
  })

  test('ends when the source fails', async () => {
    const source = new PassThrough()
    const result = unpackArchive(source, target)
    source.write(tarGzip([sound]).subarray(0, 30))
    setImmediate(() => source.destroy(new Error('connection reset')))
    await expect(result).rejects.toThrow('connection reset')
    expect(await readdir(home)).toEqual([])
  })

  test('ends when the source is closed without its end', async () => {
    const source = new PassThrough()
    const result = problemOf(unpackArchive(source, target))
    setImmediate(() => source.destroy())
    expect((await result).code).toBe('body-invalid')
    expect(await readdir(home)).toEqual([])
  })

  test('ends when nothing comes for too long', async () => {
    const source = new PassThrough()
    source.write(tarGzip([sound]).subarray(0, 30))
    const problem = await problemOf(unpackArchive(source, target, { ...defaultArchiveLimits, timeMs: 300 }))
    expect(problem.message).toMatch(/no progress for 300 ms/)
    expect(await readdir(home)).toEqual([])
    source.destroy()
  })

  test('a refused source can be read to its end by its owner', async () => {
    const archive = tarGzip([{ name: '../evil' }, { name: 'random', content: randomBytes(4_000_000) }])
    const pieces = Array.from({ length: 41 }, (_, i) => archive.subarray(i * 100_000, (i + 1) * 100_000))
    const source = Readable.from(pieces, { objectMode: false })
    expect((await problemOf(unpackArchive(source, target))).code).toBe('archive-unsafe')
    expect(source.destroyed).toBe(false)
    const ended = new Promise((resolve) => source.on('end', resolve))
    source.resume()
    await ended
  })

  test('an async generator is closed when its archive is refused', async () => {
    let closed = false
    async function* pieces() {
      try {
        yield tarGzip([{ name: '../evil' }])
        for (;;) yield Buffer.alloc(1000, 'x')
      } finally {
        closed = true
      }
    }
    expect((await problemOf(unpackArchive(pieces(), target))).code).toMatch(/^archive-/)
    await expect.poll(() => closed, { message: 'the generator should be closed' }).toBe(true)
  })

  test('ten archives at the same time do not meet', async () => {
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        unpackArchive(
          Readable.from([tarGzip([{ name: `f${index}` }])], { objectMode: false }),
          `${target}${index}`,
        ),
      ),
    )
    expect((await readdir(home)).length).toBe(10)
  })
})

test('a box that does not watch its parent yet is ended with it', async () => {
  const bubblewrap = join(home, 'bwrap')
  const pidFile = join(home, 'pid')
  const lines = [
    '#!/bin/sh',
    'sleep 978 &',
    `echo $! > ${pidFile}.new`,
    `mv ${pidFile}.new ${pidFile}`,
    'wait',
    '',
  ]
  await writeFile(bubblewrap, lines.join('\n'), { mode: 0o700 })
  const leaving = new AbortController()
  const isolation = { ...noIsolation, bubblewrap }
  const source = new PassThrough()
  const unpacked = unpackArchive(source, target, defaultArchiveLimits, leaving.signal, isolation).catch(
    String,
  )
  const pid = await vi.waitFor(async () => Number(await readFile(pidFile, 'utf8')), 10_000)
  leaving.abort(new Error('the client has left'))
  expect(await unpacked).toContain('the client has left')
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), 10_000)
}, 15_000)

async function run(program: string, parameters: readonly string[]): Promise<string> {
  const child = spawn(program, parameters, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (piece: Buffer) => (output += piece.toString()))
  child.stderr.on('data', (piece: Buffer) => (output += piece.toString()))
  await new Promise((resolve) => child.on('close', resolve))
  return output
}
