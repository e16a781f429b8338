import { lstat, mkdtemp, readdir, readFile, readlink, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  endMark,
  gnuLongHeader,
  paxHeader,
  tarArchive,
  tarGzip,
  tarMember,
  type TarMember,
} from '../../test/helpers/tar.ts'
import { Problem, type ProblemCode } from '../problem.ts'
import { defaultArchiveLimits, type ArchiveLimits } from './archive-limits.ts'
import type { Unpacked } from './quarantine.ts'
import { readArchive } from './read-archive.ts'

let home: string
let target: string

beforeEach(async () => {
  home = await mkdtemp(join(await realpath(tmpdir()), 'molehill-archive-'))
})

afterEach(() => rm(home, { recursive: true, force: true }))

async function unpack(archive: Buffer, limits: Partial<ArchiveLimits> = {}): Promise<Unpacked> {
  target = await mkdtemp(join(home, 'work-'))
  const source = Readable.from([archive], { objectMode: false })
  return readArchive(source, target, { ...defaultArchiveLimits, ...limits })
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
  const besides = (await readdir(home)).filter((name) => join(home, name) !== target)
  await rm(target, { recursive: true })
  return { code, message, besides }
}

/** What a refusal looks like; nothing may have been written beside the target. */
function refused(code: ProblemCode, message: RegExp): object {
  return { code, message: expect.stringMatching(message), besides: [] }
}

const sound: TarMember = { name: 'sound.txt', content: 'sound' }

describe('names that are refused', () => {
  const deep = Array.from({ length: 65 }, () => 'd').join('/')
  const long = Array.from({ length: 10 }, () => 'p'.repeat(120)).join('/')
  const cases: readonly (readonly [string, readonly (TarMember | Buffer)[], RegExp])[] = [
    ['a parent step', [{ name: '../evil' }], /"\.\.\/evil".*parent step/],
    ['a parent step inside', [{ name: 'a/../../evil' }], /parent step/],
    ['a parent step in the prefix', [{ name: 'evil', prefix: '..' }], /"\.\.\/evil".*parent step/],
    ['a parent step in a PAX path', [paxHeader({ path: '../evil' }), sound], /"\.\.\/evil".*parent step/],
    ['a parent step in a GNU long name', [gnuLongHeader('L', '../evil'), sound], /parent step/],
    ['a parent step as a directory', [{ name: 'a/..', type: '5' }], /parent step/],
    ['an absolute name', [{ name: '/etc/evil' }], /absolute/],
    ['an absolute PAX path', [paxHeader({ path: '/etc/evil' }), sound], /absolute/],
    ['a drive letter', [{ name: 'C:evil' }], /drive letter/],
    ['a backslash', [{ name: '..\\evil' }], /backslash/],
    ['a line break', [{ name: 'a\nb' }], /"a\\nb".*control character/],
    ['an escape', [{ name: 'a\u001b[2J' }], /control character/],
    ['a NUL in a PAX path', [paxHeader({ path: 'a\0b' }), sound], /control character/],
    ['a C1 control character', [{ name: 'a\u0085b' }], /control character/],
    ['invalid UTF-8', [{ name: Buffer.from([0x61, 0xff, 0x62]) }], /not valid UTF-8/],
    ['a part over 255 bytes', [paxHeader({ path: 'p'.repeat(256) }), sound], /255 bytes/],
    ['a path over 1024 bytes', [paxHeader({ path: long }), sound], /1024 bytes/],
    ['a depth over 64', [paxHeader({ path: deep }), sound], /deeper than 64/],
    ['a file twice', [sound, sound], /sound.txt.*twice/],
    [
      'a directory twice',
      [
        { name: 'd', type: '5' },
        { name: 'd/', type: '5' },
      ],
      /twice/,
    ],
    ['a file twice by another spelling', [sound, { name: './/sound.txt' }], /twice/],
    ['a name twice after normalisation', [{ name: 'caf\u00e9' }, { name: 'cafe\u0301' }], /other Unicode/],
    [
      'directories that merge after normalisation',
      [{ name: '\u00e9/a' }, { name: 'e\u0301/b' }],
      /other Unicode/,
    ],
    ['a file used as a directory', [{ name: 'a' }, { name: 'a/b' }], /"a\/b" uses a file as a directory/],
    ['a directory replaced by a file', [{ name: 'a/b' }, { name: 'a' }], /name of a directory/],
    ['a file without a name', [{ name: '.' }], /no name of its own/],
  ]
  test.each(cases)('%s', async (_, members, message) => {
    expect(await refusalOf(tarGzip([{ name: 'before', content: 'x' }, ...members]))).toEqual(
      refused('archive-unsafe', message),
    )
  })
})

describe('types and attributes that are refused', () => {
  const cases: readonly (readonly [string, readonly (TarMember | Buffer)[], RegExp])[] = [
    ['a hard link', [sound, { name: 'hard', type: '1', target: 'sound.txt' }], /"hard" is a hard link/],
    ['a hard link outward', [{ name: 'hard', type: '1', target: '/etc/passwd' }], /hard link/],
    ['a character device', [{ name: 'null', type: '3' }], /device/],
    ['a block device', [{ name: 'disk', type: '4' }], /device/],
    ['a FIFO', [{ name: 'pipe', type: '6' }], /named pipe/],
    ['a GNU sparse file', [{ name: 'sparse', type: 'S' }], /sparse/],
    [
      'a PAX sparse file',
      [paxHeader({ 'GNU.sparse.major': '1', 'GNU.sparse.name': 's' }), sound],
      /"s" is a sparse/,
    ],
    ['an unknown type', [{ name: 'volume', type: 'V' }], /unknown type "V"/],
    ['setuid', [{ name: 'suid', mode: 0o4755 }], /setuid/],
    ['setgid', [{ name: 'sgid', mode: 0o2755 }], /setgid/],
  ]
  test.each(cases)('%s', async (_, members, message) => {
    expect(await refusalOf(tarGzip(members))).toEqual(refused('archive-unsafe', message))
  })
})

describe('links that are refused', () => {
  const link = (name: string, to: string): TarMember => ({ name, type: '2', target: to })
  const cases: readonly (readonly [string, readonly (TarMember | Buffer)[], RegExp])[] = [
    ['absolute', [link('l', '/etc/passwd')], /absolute target/],
    ['absolute by PAX', [paxHeader({ linkpath: '/etc/passwd' }), link('l', 'x')], /absolute target/],
    ['relative, outward', [link('l', '../../../../../../../../etc/passwd')], /"l" is a link that leads out/],
    ['outward by a GNU long target', [gnuLongHeader('K', '../'.repeat(30)), link('l', 'x')], /leads out/],
    ['to the parent', [link('d/l', '../..')], /leads out/],
    [
      'outward by a chain that stays inside as text',
      [{ name: 'a/b/c', type: '5' }, link('a/b/c/up', '..'), link('out', 'a/b/c/up/../../..')],
      /leads out/,
    ],
    [
      'outward by a chain in which every link looks harmless',
      [{ name: 'd/e', type: '5' }, link('one', 'd/e'), link('two', 'one/../../..')],
      /"two" is a link that leads out/,
    ],
    ['dangling', [link('l', 'nothing')], /not in the archive/],
    ['a loop', [link('a', 'b'), link('b', 'a')], /or to itself/],
    ['to itself', [link('a', 'a')], /or to itself/],
    ['with a backslash', [link('l', '..\\x')], /backslash/],
    ['with a line break', [link('l', 'a\nb')], /control character/],
    ['empty target', [link('l', '')], /without a target/],
    [
      'used as a directory',
      [{ name: 'd', type: '5' }, link('l', 'd'), { name: 'l/x' }],
      /uses a link as a directory/,
    ],
    ['in place of a directory', [{ name: 'l/x' }, link('l', '..')], /name of a directory/],
    ['in place of a file', [sound, link('sound.txt', '/etc')], /absolute|twice/],
    ['written through', [link('l', '..'), { name: 'l', content: 'evil' }], /twice/],
  ]
  test.each(cases)('%s', async (_, members, message) => {
    expect(await refusalOf(tarGzip(members))).toEqual(refused('archive-unsafe', message))
  })

  test('a link that was in the parent directory before does not matter', async () => {
    await symlink('/etc', join(home, 'elsewhere'))
    const problem = await problemOf(unpack(tarGzip([link('l', '../elsewhere/passwd')])))
    expect(problem.message).toMatch(/leads out/)
  })
})

describe('archives that are damaged', () => {
  const big = { name: 'big', content: Buffer.alloc(100_000, 'x') }
  const whole = tarGzip([big])
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['nothing at all', Buffer.alloc(0), /cut short|not a gzip|no header/],
    ['no gzip', Buffer.from('hello, this is text and no archive'), /not a gzip stream/],
    ['plain tar', tarArchive([sound]), /not a gzip stream/],
    ['gzip of text', gzipSync('hello'.repeat(200)), /not a tar archive/],
    ['gzip of nothing', gzipSync(''), /no header/],
    ['gzip in gzip', gzipSync(tarGzip([sound, big])), /not a tar archive|cut short/],
    ['a truncated gzip stream', whole.subarray(0, whole.length - 20), /cut short/],
    ['only the gzip header', whole.subarray(0, 10), /cut short/],
    ['a wrong checksum of gzip', flip(whole, whole.length - 6), /gzip stream of the archive is damaged/],
    [
      'text after the gzip stream',
      Buffer.concat([whole, Buffer.from('text')]),
      /gzip stream of the archive is damaged/,
    ],
    [
      'a wrong checksum of a header',
      tarGzip([sound, { name: 'b', checksumField: '000001\0 ' }]),
      /Header 2.*damaged/,
    ],
    ['a negative size', tarGzip([{ ...sound, sizeField: Buffer.alloc(12, 0xff) }]), /no readable size/],
    ['a size that is no number', tarGzip([{ ...sound, sizeField: 'banana' }]), /no readable size/],
    ['a PAX size that is no number', tarGzip([paxHeader({ size: '1e3' }), sound]), /whole number/],
    ['a PAX size that is negative', tarGzip([paxHeader({ size: '-1' }), sound]), /whole number/],
    ['a size that is too long', tarGzip([{ ...sound, sizeField: '00000070000\0' }]), /cut short/],
    ['a size that is too short', tarGzip([{ ...big, sizeField: '00000000001\0' }]), /Header 2.*damaged/],
    ['a header cut short', tarGzip([sound], Buffer.from('half a header')), /cut short/],
    ['content cut short', gzipSync(tarArchive([big]).subarray(0, 50_000)), /cut short/],
    ['no end mark', tarGzip([sound], Buffer.alloc(0)), /end mark is missing/],
    ['an entry after the end mark', tarGzip([sound, endMark, big]), /goes on after its end mark/],
    [
      'an entry after a single zero block',
      tarGzip([sound, Buffer.alloc(512), big]),
      /goes on after its end mark/,
    ],
    [
      'noise after the end mark',
      tarGzip([sound], Buffer.concat([endMark, Buffer.from('x')])),
      /after its end mark/,
    ],
    ['2 MiB of zeros after the end mark', tarGzip([sound], Buffer.alloc(2 * 1024 ** 2)), /1 MiB of padding/],
    ['a PAX header without its entry', tarGzip([sound, paxHeader({ path: 'x' })]), /without its entry/],
    [
      'two PAX headers for one entry',
      tarGzip([paxHeader({ path: 'x' }), paxHeader({ path: 'y' }), sound]),
      /twice/,
    ],
    ['a PAX record that is too long', tarGzip([rawPax('99 path=x\n'), sound]), /PAX header.*damaged/],
    ['a PAX record that is too short', tarGzip([rawPax('9 path=xyz\n'), sound]), /PAX header.*damaged/],
    ['a PAX record without a length', tarGzip([rawPax('path=x\n'), sound]), /PAX header.*damaged/],
    ['a global PAX path', tarGzip([paxHeader({ path: 'x' }, 'g'), sound]), /global PAX header/],
    ['a link with content', tarGzip([{ name: 'l', type: '2', target: 'x', content: 'y' }]), /has content/],
  ]
  test.each(cases)('%s', async (_, archive, message) => {
    expect(await refusalOf(archive)).toEqual(refused('archive-invalid', message))
  })

  test('noise of any length never passes and leaves nothing behind', async () => {
    const noise = Buffer.from(
      Array.from({ length: 5000 }, (_, index) => (index * 7919 + (index >> 3)) & 0xff),
    )
    expect(await refusalOf(gzipSync(noise))).toEqual(refused('archive-invalid', /tar archive|damaged/))
  })
})

describe('amounts', () => {
  test('unpacked bytes are counted over all files, before they are written', async () => {
    const half = Buffer.alloc(600)
    const members = [
      { name: 'a', content: half },
      { name: 'b', content: half },
    ]
    expect(
      await refusalOf(tarGzip(members), {
        unpackedBytes: 1000,
      }),
    ).toEqual(refused('archive-too-large', /more than 1000 bytes/))
    expect(await unpack(tarGzip(members), { unpackedBytes: 1200 })).toEqual({ entries: 2, bytes: 1200 })
  })

  test('a size that is announced but never comes is refused at once', async () => {
    const members = [{ name: 'huge', sizeField: '77777777777\0' }]
    expect(await refusalOf(tarGzip(members), { unpackedBytes: 1e9 })).toEqual(
      refused('archive-too-large', /unpacks to more than/),
    )
  })

  test('entries are counted', async () => {
    const members = Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` }))
    expect(await refusalOf(tarGzip(members), { entries: 10 })).toEqual(
      refused('archive-too-large', /more than 10 entries/),
    )
    expect(await unpack(tarGzip(members), { entries: 11 })).toEqual({ entries: 11, bytes: 0 })
  })

  test('directories that no entry names count as well', async () => {
    expect(
      await refusalOf(tarGzip([{ name: 'a/b/c/d/e' }]), {
        entries: 4,
      }),
    ).toEqual(refused('archive-too-large', /more than 4 entries/))
  })

  test('a root that is named again and again counts as well', async () => {
    const members = Array.from({ length: 11 }, () => ({ name: './', type: '5' }))
    expect(await refusalOf(tarGzip(members), { entries: 10 })).toEqual(
      refused('archive-too-large', /more than 10 entries/),
    )
  })

  test('a ratio is refused beyond the first 64 MiB', async () => {
    const zeros = (mebibytes: number) =>
      tarGzip([{ name: 'zeros', content: Buffer.alloc(mebibytes * 1024 ** 2) }])
    expect(await refusalOf(zeros(80))).toEqual(refused('archive-too-large', /more than 200 times/))
    expect(await unpack(zeros(60))).toEqual({ entries: 1, bytes: 60 * 1024 ** 2 })
  })

  test('an extra header over 64 KiB is refused', async () => {
    const members = [paxHeader({ comment: 'c'.repeat(70_000) }), sound]
    expect(await refusalOf(tarGzip(members))).toEqual(refused('archive-too-large', /extra header/))
  })
})

describe('archives that come through', () => {
  test('an archive with nothing but its end mark makes an empty directory', async () => {
    expect(await unpack(tarGzip([]))).toEqual({ entries: 0, bytes: 0 })
    expect(await readdir(target)).toEqual([])
  })

  test('names by ustar prefix, PAX and GNU headers, V7 headers and ./ entries', async () => {
    const long = `${'l'.repeat(200)}/${'\u65e5'.repeat(80)}`
    const members = [
      { name: './', type: '5', mode: 0o2775 },
      { name: './dot//double.txt', content: '1' },
      { name: 'tail', prefix: 'some/prefix', content: '2' },
      paxHeader({ path: `pax/${long}`, 'LIBARCHIVE.xattr.user.note': 'a\nb', mtime: '1.5' }),
      { name: 'short', content: '3' },
      gnuLongHeader('L', `gnu/${long}`),
      { name: 'short', content: '4', magic: 'ustar  \0' },
      { name: 'old', content: '5', magic: '', type: '\0' },
      { name: 'old-directory/', magic: '', type: '0' },
      paxHeader({ comment: 'a commit' }, 'g'),
      { name: '._resource', content: '6' },
      { name: 'empty' },
      paxHeader({ path: 'pax-size', size: '3' }),
      { name: 'x', content: 'abc', sizeField: '00000000003\0' },
    ]
    await unpack(tarGzip(members))
    const read = (name: string) => readFile(join(target, name), 'utf8')
    expect(
      await Promise.all(['dot/double.txt', 'some/prefix/tail', `pax/${long}`, `gnu/${long}`].map(read)),
    ).toEqual(['1', '2', '3', '4'])
    expect(await Promise.all(['old', '._resource', 'empty', 'pax-size'].map(read))).toEqual([
      '5',
      '6',
      '',
      'abc',
    ])
    expect((await lstat(join(target, 'old-directory'))).isDirectory()).toBe(true)
    expect((await lstat(join(target, `pax/${long}`))).mtimeMs).toBe(1500)
  })

  test('characters that fall on the border of chunks stay whole', async () => {
    const members = Array.from({ length: 400 }, (_, index) => [
      paxHeader({ path: `${'\u65e5'.repeat(60)}/${'\u672c'.repeat(70)}/${'\u8a9e'.repeat(60)}${index}` }),
      tarMember({ name: 'x', content: 'y'.repeat(index) }),
    ]).flat()
    expect(await unpack(tarGzip(members))).toMatchObject({ entries: 400 })
  })

  test('modes are fixed and times are kept', async () => {
    await unpack(
      tarGzip([
        { name: 'program', mode: 0o700 },
        { name: 'data', mode: 0o666 },
        { name: 'locked', mode: 0o000, type: '5' },
        { name: 'locked/in', content: 'x' },
      ]),
    )
    const mode = async (name: string) => ((await lstat(join(target, name))).mode & 0o7777).toString(8)
    expect(await Promise.all(['program', 'data', 'locked', '.'].map(mode))).toEqual([
      '755',
      '644',
      '755',
      '755',
    ])
    expect((await lstat(join(target, 'data'))).mtimeMs).toBe(1_700_000_000_000)
  })

  test('links that stay inside, to files, directories and links, before and after what they point to', async () => {
    await unpack(
      tarGzip([
        { name: 'lib/current', type: '2', target: 'lib.so.1' },
        { name: 'lib/lib.so.1', type: '2', target: 'lib.so.1.2' },
        { name: 'lib/lib.so.1.2', content: 'code' },
        { name: 'top', type: '2', target: './lib/../lib/' },
        { name: 'self', type: '2', target: '.' },
        { name: 'a/b/back', type: '2', target: '../../lib/current' },
      ]),
    )
    expect(await readlink(join(target, 'lib/current'))).toBe('lib.so.1')
    expect(await readFile(join(target, 'a/b/back'), 'utf8')).toBe('code')
    expect(await readFile(join(target, 'top/current'), 'utf8')).toBe('code')
  })

  test('zeros after the end mark and after the gzip stream', async () => {
    const archive = tarGzip([sound], Buffer.alloc(10_240))
    expect(await unpack(Buffer.concat([archive, Buffer.alloc(100_000)]))).toEqual({ entries: 1, bytes: 5 })
  })

  test('several gzip streams one after another', async () => {
    const tar = tarArchive([sound])
    const archive = Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))])
    expect(await unpack(archive)).toEqual({ entries: 1, bytes: 5 })
  })
})

function rawPax(body: string): Buffer {
  return tarMember({ name: 'PaxHeaders/entry', type: 'x', content: body })
}

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 0xff
  return copy
}
