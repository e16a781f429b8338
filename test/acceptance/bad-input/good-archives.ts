import { execFile } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { gnuLongHeader, paxHeader, tarArchive, tarGzip, type TarMember } from '../../helpers/tar.ts'
import { script } from './row.ts'

const run = promisify(execFile)

/** An archive that looks odd and is not: it has to come through whole. */
export interface GoodArchiveRow {
  readonly name: string
  /** `directory` holds `tree`, as `plantTree` makes it. */
  readonly archive: (directory: string) => Promise<Buffer> | Buffer
  /** Content by path. */
  readonly files: Readonly<Record<string, string>>
}

const longPart = 'long'.repeat(40)
const treeFiles = {
  'Pi.ts': script,
  'data/numbers.txt': '1 2 3\n',
  'data/empty': '',
  [`data/${longPart}/${longPart}.txt`]: 'long',
  'gr\u00fc\u00dfe/\u4e16\u754c.txt': 'unicode',
  'link.txt': '1 2 3\n',
  'data/again.txt': '1 2 3\n',
}

/** A tree as users have them: long and Unicode names, empty files, links inside and links to links. */
export async function plantTree(directory: string): Promise<void> {
  const tree = join(directory, 'tree')
  for (const each of ['data', `data/${longPart}`, 'gr\u00fc\u00dfe', 'nothing'])
    await mkdir(join(tree, each), { recursive: true })
  for (const [path, content] of Object.entries(treeFiles))
    if (!['link.txt', 'data/again.txt'].includes(path)) await writeFile(join(tree, path), content)
  await symlink('data/numbers.txt', join(tree, 'link.txt'))
  await symlink('../link.txt', join(tree, 'data/again.txt'))
}

function packed(name: string, program: string, ...words: readonly string[]): GoodArchiveRow {
  return {
    name,
    files: treeFiles,
    archive: async (directory) => {
      const options = { cwd: join(directory, 'tree'), encoding: 'buffer', maxBuffer: 2 ** 24 } as const
      return (await run(program, words, options)).stdout
    },
  }
}

function made(name: string, files: Readonly<Record<string, string>>, archive: Buffer): GoodArchiveRow {
  return { name, files, archive: () => archive }
}

const pi: TarMember = { name: 'Pi.ts', content: script }
const python = (format: string) =>
  `import sys, tarfile\nwith tarfile.open(fileobj=sys.stdout.buffer, mode='w|gz', format=tarfile.${format}) as t: t.add('.', '.')`
const git =
  'git init -q . && git add -A && git -c user.name=x -c user.email=x@example.org commit -q -m x && git archive --format=tar.gz HEAD; rm -rf .git'

export const goodArchiveRows: readonly GoodArchiveRow[] = [
  packed('of tar', 'tar', '-czf', '-', '.'),
  packed('of tar, as pax', 'tar', '--format=pax', '-czf', '-', '.'),
  packed(
    'of tar, with owners, times and xattrs',
    'tar',
    '--format=pax',
    '--xattrs',
    '--acls',
    '-czf',
    '-',
    '.',
  ),
  packed('of bsdtar', 'bsdtar', '-czf', '-', '.'),
  packed('of bsdtar, as gnutar', 'bsdtar', '--format=gnutar', '-czf', '-', '.'),
  packed(
    'of bsdtar, with names alone',
    'bsdtar',
    '-czf',
    '-',
    'Pi.ts',
    'data',
    'gr\u00fc\u00dfe',
    'link.txt',
  ),
  packed('of tarfile, as PAX', 'python3', '-c', python('PAX_FORMAT')),
  packed('of tarfile, as GNU', 'python3', '-c', python('GNU_FORMAT')),
  packed('of git archive', 'bash', '-c', git),
  made(
    'of a Mac',
    { 'Pi.ts': script, '._Pi.ts': 'resource fork', '.DS_Store': 'x' },
    tarGzip([
      { name: './', type: '5' },
      { name: './._Pi.ts', content: 'resource fork' },
      paxHeader({
        'LIBARCHIVE.xattr.com.apple.quarantine': 'MDA4MQ',
        'SCHILY.xattr.com.apple.provenance': '\u0001\u0000\u0002',
      }),
      { ...pi, name: './Pi.ts' },
      { name: './.DS_Store', content: 'x' },
    ]),
  ),
  made(
    'in pieces, as pigz and bgzip write',
    { 'Pi.ts': script },
    (() => {
      const whole = tarArchive([pi])
      return Buffer.concat([gzipSync(whole.subarray(0, 700)), gzipSync(whole.subarray(700))])
    })(),
  ),
  made('with zeros behind, as tapes have them', { 'Pi.ts': script }, tarGzip([pi], Buffer.alloc(20_480))),
  made('with a global comment', { 'Pi.ts': script }, tarGzip([paxHeader({ comment: 'abc' }, 'g'), pi])),
  made(
    'with names that only differ in case',
    { 'Pi.ts': script, 'pi.ts': 'small' },
    tarGzip([pi, { name: 'pi.ts', content: 'small' }]),
  ),
  made(
    'with a GNU name that goes on behind its NUL',
    { 'Pi.ts': script, good: 'x' },
    tarGzip([pi, gnuLongHeader('L', 'good\0../../evil'), { name: 'y', content: 'x' }]),
  ),
  made(
    'with links to itself and up, inside',
    { 'Pi.ts': script, 'here/a/up/Pi.ts': script },
    tarGzip([
      pi,
      { name: 'a/', type: '5', mode: 0o2777 },
      { name: 'here', type: '2', target: '.' },
      { name: 'a/up', type: '2', target: '..' },
    ]),
  ),
  made(
    'of old types',
    { 'Pi.ts': script, old: 'x', seven: 'y' },
    tarGzip([
      pi,
      { name: 'old', type: '\0', content: 'x', magic: '' },
      { name: 'seven', type: '7', content: 'y' },
    ]),
  ),
  made(
    'with odd but harmless names',
    { 'Pi.ts': script, '--help': '1', 'a b;$(c)\'"': '2', '...': '3' },
    tarGzip([
      pi,
      { name: '--help', content: '1' },
      { name: 'a b;$(c)\'"', content: '2' },
      { name: '...', content: '3' },
    ]),
  ),
]
