import { gzipSync } from 'node:zlib'
import { incompressible } from '../../helpers/incompressible.ts'
import {
  endMark,
  gnuLongHeader,
  paxHeader,
  tarArchive,
  tarGzip,
  tarMember,
  type TarMember,
} from '../../helpers/tar.ts'
import { script, type Refused } from './row.ts'

export interface ArchiveRow extends Refused {
  /** `outside` is a directory next to the data directory that must stay as it is. */
  readonly archive: (outside: string) => Buffer
}

/** The server of these tables has to be started with these. */
export const archiveFlags = { uploadLimit: '1MiB', unpackedLimit: '4MiB', archiveEntries: '200' }

type Piece = TarMember | Buffer

const pi = { name: 'Pi.ts', content: script }
const withPi = (...pieces: readonly Piece[]) => tarGzip([pi, ...pieces])
const link = (name: string, target: string): TarMember => ({ name, type: '2', target })
const file = (name: string | Buffer, content = 'x'): TarMember => ({ name, content })

function row(name: string, sentence: RegExp, pieces: readonly Piece[], status = 417): ArchiveRow {
  return { name, status, sentence, archive: () => withPi(...pieces) }
}

function bytes(name: string, sentence: RegExp, archive: () => Buffer, status = 417): ArchiveRow {
  return { name, status, sentence, archive }
}

/** How a name can be written into an archive. */
const carriers: Readonly<Record<string, (name: string) => readonly Piece[]>> = {
  ustar: (name) => [file(name)],
  PAX: (name) => [paxHeader({ path: name }), file('harmless')],
  GNU: (name) => [gnuLongHeader('L', name), file('harmless')],
}

const namesThatLeave: readonly (readonly [string, string, RegExp])[] = [
  ['a parent step', '../evil', /"\.\.\/evil" .*parent step/],
  ['a parent step further in', 'a/b/../../../evil', /evil" .*parent step/],
  ['a parent step that stays inside', 'a/../evil', /evil" .*parent step/],
  ['a parent step at its end', 'a/..', /"a\/\.\." .*parent step/],
  ['nothing but a parent step', '..', /"\.\." .*parent step/],
  ['a parent step behind dots and slashes', './/.//../evil', /evil" .*parent step/],
  ['a leading slash', '/evil', /"\/evil" has an absolute name/],
  ['two leading slashes', '//evil/share', /share" has an absolute name/],
  ['a drive letter', 'C:/evil', /evil" .*drive letter/],
  ['a drive letter without a slash', 'c:evil', /evil" .*drive letter/],
  ['backslashes', '..\\evil', /evil" .*backslash/],
  ['a drive letter and backslashes', 'C:\\evil', /evil" .*backslash/],
  ['a share of Windows', '\\\\evil\\share', /share" .*backslash/],
  ['a line break', 'a\nevil', /"a\\nevil" .*control character/],
  ['an escape', '\u001b[31mevil', /evil" .*control character/],
  ['a C1 control character', 'a\u009bevil', /evil" .*control character/],
  ['a part of 256 bytes', `evil${'x'.repeat(252)}`, /evilx+.*longer than 255 bytes/],
  ['65 levels', `${'d/'.repeat(64)}evil`, /deeper than 64/],
  ['over 1,024 bytes', `${'directory/'.repeat(50)}${'long'.repeat(50)}/`.repeat(2), /than (1024|64) /],
]

const leaving = Object.entries(carriers).flatMap(([carrier, pieces]) =>
  namesThatLeave
    .filter(([, name]) => carrier !== 'ustar' || Buffer.byteLength(name) <= 100)
    .map(([what, name, sentence]) => row(`a ${carrier} name with ${what}`, sentence, pieces(name))),
)

const names: readonly ArchiveRow[] = [
  row('a ustar prefix that leaves', /evil" .*parent step/, [{ ...file('evil'), prefix: '..' }]),
  row('a ustar prefix that is absolute', /evil" .*absolute/, [{ ...file('evil'), prefix: '/tmp' }]),
  row('a PAX name with NUL', /evil" .*control character/, [paxHeader({ path: 'a\0../evil' }), file('b')]),
  row('a directory that leaves', /evil\/" .*parent step/, [{ name: '../evil/', type: '5' }]),
  row('a file without a name', /no name of its own/, [file('')]),
  row('a file that is called .', /no name of its own/, [file('.')]),
  row('a name that is not UTF-8', /not valid UTF-8/, [file(Buffer.from([0x65, 0xff, 0xfe]))]),
  {
    ...row('an absolute name of a directory that is there', /has an absolute name/, []),
    archive: (outside) => withPi(...(carriers.PAX?.(`${outside}/evil`) ?? [])),
  },
]

const links: readonly ArchiveRow[] = [
  row('a link to a system file', /"evil" .*absolute target/, [link('evil', '/etc/passwd')]),
  {
    ...row('a link to a directory outside, then a file through it', /"evil" .*absolute target/, []),
    archive: (outside) => withPi(link('evil', outside), file('evil/evil')),
  },
  row('a link that leaves', /"evil" .*(leads out|not in the archive)/, [link('evil', '../../..')]),
  row('a link that leaves by PAX', /"evil" .*(leads out|not in)/, [
    paxHeader({ linkpath: '../../../..' }),
    link('evil', 'Pi.ts'),
  ]),
  row('a link that leaves by a GNU long target', /"evil" .*absolute target/, [
    gnuLongHeader('K', '/etc/passwd'),
    link('evil', 'Pi.ts'),
  ]),
  row('a link that leaves further in', /"a\/b\/evil" .*leads out/, [
    { name: 'a/b/', type: '5' },
    link('a/b/evil', '../../..'),
  ]),
  row('a chain that stays inside as text and leaves in fact', /"evil" .*leads out/, [
    link('here', '.'),
    link('evil', 'here/..'),
  ]),
  row('a long chain that leaves', /"evil\d" .*leads out/, [
    { name: 'a/', type: '5' },
    link('a/one', '.'),
    link('a/two', 'one/one/one'),
    link('evil1', 'a/two/../..'),
    link('evil2', 'evil1/evil'),
  ]),
  row('a file through a link made before it', /"here\/evil" uses a link as a directory/, [
    link('here', '.'),
    file('here/evil'),
  ]),
  row('a file in the place of a link', /"evil" comes twice/, [link('evil', 'Pi.ts'), file('evil')]),
  row('a link in the place of a directory', /"evil" comes twice/, [
    { name: 'evil/', type: '5' },
    link('evil', 'Pi.ts'),
  ]),
  row('a link in the place of the whole archive', /no name of its own/, [link('.', 'Pi.ts')]),
  row('a link to itself', /"evil" .*to itself/, [link('evil', 'evil')]),
  row('links in a circle', /"evil1?" .*to itself/, [link('evil', 'evil1'), link('evil1', 'evil')]),
  row('a link to nothing', /"evil" .*not in the archive/, [link('evil', 'nowhere')]),
  row('a link without a target', /"evil" is a link without a target/, [link('evil', '')]),
  row('a link with backslashes', /"evil" .*backslash/, [link('evil', '..\\..')]),
  row('a link to a drive', /"evil" .*drive letter/, [link('evil', 'C:/')]),
  row('a link to a name with a line break', /"evil" .*control character/, [link('evil', 'Pi\n.ts')]),
  row('a link of thousands of parts', /"evil" .*longer than 1024/, [
    paxHeader({ linkpath: './'.repeat(20_000) }),
    link('evil', 'x'),
  ]),
  row('a link through /proc', /"evil" .*absolute target/, [link('evil', '/proc/self/root')]),
  row('a hard link to an earlier file', /"evil" is a hard link.*--hard-dereference/, [
    { name: 'evil', type: '1', target: 'Pi.ts' },
  ]),
  row('a hard link to a system file', /"evil" is a hard link/, [
    { name: 'evil', type: '1', target: '/etc/passwd' },
  ]),
  row('a hard link that leaves', /"evil" is a hard link/, [
    { name: 'evil', type: '1', target: '../../../preferences.json' },
  ]),
  row('a hard link to a link', /"evil" is a hard link/, [
    link('here', 'Pi.ts'),
    { name: 'evil', type: '1', target: 'here' },
  ]),
]

const types: readonly ArchiveRow[] = [
  ...(
    [
      ['3', /"evil" is a device/],
      ['4', /"evil" is a device/],
      ['6', /"evil" is a named pipe/],
      ['S', /"evil" is a sparse file.*without --sparse/],
      ['D', /"evil" has the unknown type/],
      ['M', /"evil" has the unknown type/],
      ['V', /"evil" has the unknown type/],
      ['Z', /"evil" has the unknown type "Z"/],
      ['\n', /"evil" has the unknown type "\\n"/],
    ] as const
  ).map(([type, sentence]) =>
    row(`an entry of the type ${JSON.stringify(type)}`, sentence, [{ name: 'evil', type }]),
  ),
  row('a sparse file by PAX 1.0', /"evil" is a sparse file/, [
    paxHeader({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'evil' }),
    file('GNUSparseFile.0/evil'),
  ]),
  row('a sparse file by its real size', /is a sparse file/, [
    paxHeader({ 'SCHILY.realsize': '1099511627776' }),
    file('evil'),
  ]),
  row('a setuid program', /"evil" has the setuid bit/, [{ ...file('evil'), mode: 0o4755 }]),
  row('a setgid program', /"evil" has the setgid bit/, [{ ...file('evil'), mode: 0o2755 }]),
  row('a setuid directory', /"evil\/" has the setuid bit/, [{ name: 'evil/', type: '5', mode: 0o4755 }]),
]

const collisions: readonly ArchiveRow[] = [
  row('a name that comes twice', /"Pi\.ts" comes twice/, [file('Pi.ts', 'evil')]),
  row('a name that comes twice in other spellings', /Pi\.ts" comes twice/, [file('.//Pi.ts', 'evil')]),
  row('a directory that comes twice', /"d\/" comes twice/, [
    { name: 'd/', type: '5' },
    { name: 'd/', type: '5' },
  ]),
  row('a file in the place of a directory', /"d" comes twice/, [file('d/x'), file('d')]),
  row('a file used as a directory', /"Pi\.ts\/evil" uses a file as a directory/, [file('Pi.ts/evil')]),
  row('names that are the same to a Mac', /other Unicode characters/, [
    file('caf\u00e9'),
    file('cafe\u0301'),
  ]),
  row('directories that are the same to a Mac', /other Unicode characters/, [
    file('caf\u00e9/a'),
    file('cafe\u0301/b'),
  ]),
]

const amounts: readonly ArchiveRow[] = [
  row(
    'a file of zeros beyond the limit',
    /more than 4194304 bytes/,
    [{ name: 'zeros', content: Buffer.alloc(5 * 2 ** 20) }],
    413,
  ),
  row(
    'many files that are too much together',
    /more than 4194304 bytes/,
    Array.from({ length: 50 }, (_, n) => ({ name: `zeros${n}`, content: Buffer.alloc(100_000) })),
    413,
  ),
  row(
    'more than it may be as packed',
    /larger than 1048576 bytes/,
    [{ name: 'noise', content: incompressible(3 * 2 ** 19) }],
    413,
  ),
  row(
    'a size of eight gigabytes',
    /more than 4194304 bytes/,
    [{ name: 'evil', sizeField: '77777777777\0' }],
    413,
  ),
  row(
    'too many files',
    /more than 200 entries/,
    Array.from({ length: 201 }, (_, n) => file(`f${n}`, '')),
    413,
  ),
  row(
    'too many directories that no entry names',
    /more than 200 entries/,
    Array.from({ length: 10 }, (_, n) => file(`${n}/${'d/'.repeat(30)}f`)),
    413,
  ),
  row(
    'a PAX header of 100 kB',
    /extra header of \d+ bytes.*at most 65536/,
    [paxHeader({ comment: 'x'.repeat(100_000) }), file('evil')],
    413,
  ),
  row(
    'headers without end',
    /more than (4194304 bytes|200 entries)/,
    Array.from({ length: 100 }, (_, n) => [paxHeader({ comment: 'x'.repeat(60_000) }), file(`f${n}`)]).flat(),
    413,
  ),
  bytes('a megabyte of zeros after the end', /More than 1 MiB of padding/, () =>
    tarGzip([pi], Buffer.alloc(2 * 2 ** 20)),
  ),
  bytes('gzip in gzip', /not a tar archive/, () => gzipSync(withPi())),
]

const sizes: readonly ArchiveRow[] = [
  ['not a number', 'many\0'],
  ['negative', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0])],
  [
    'beyond all numbers',
    Buffer.from([0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
  ],
].map(([what, sizeField]) =>
  row(`a size that is ${String(what)}`, /tar -czf/, [
    { name: 'evil', ...(sizeField !== undefined && { sizeField }) },
  ]),
)

const structure: readonly ArchiveRow[] = [
  ...sizes,
  bytes('nothing', /gzip/, () => Buffer.alloc(0)),
  bytes('text', /not a gzip stream.*tar -czf/, () => Buffer.from('just text')),
  bytes('a tar that is not packed', /not a gzip stream.*tar -czf/, () => tarArchive([pi])),
  ...Object.entries({
    xz: 'fd377a585a0000',
    zstd: '28b52ffd2400',
    bzip2: '425a6839314159265359',
    zip: '504b030414000000',
    compress: '1f9d90',
    lz4: '04224d18',
    '7z': '377abcaf271c',
  }).map(([kind, magic]) =>
    bytes(`${kind} under the name of tar.gz`, /not a gzip stream.*tar -czf/, () =>
      Buffer.concat([Buffer.from(magic, 'hex'), incompressible(500)]),
    ),
  ),
  ...[2, 12, 40].map((length) =>
    bytes(`a gzip that ends after ${length} bytes`, /cut short.*tar -czf/, () =>
      withPi().subarray(0, length),
    ),
  ),
  bytes('a gzip without its last bytes', /cut short/, () => withPi().subarray(0, -4)),
  bytes('a gzip with a wrong checksum', /damaged/, () => {
    const packed = withPi()
    packed.writeUInt32LE(1, packed.length - 8)
    return packed
  }),
  bytes('a gzip with unknown flags', /damaged/, () => {
    const packed = withPi()
    packed[3] = 0xe0
    return packed
  }),
  bytes('a gzip with noise in its middle', /damaged|cut short|tar/, () => {
    const packed = withPi({ name: 'noise', content: incompressible(4000) })
    packed.fill(0xaa, 100, 160)
    return packed
  }),
  bytes('two archives one after the other', /goes on after its end mark/, () =>
    Buffer.concat([withPi(), tarGzip([file('evil')])]),
  ),
  bytes('an entry after the end mark', /goes on after its end mark/, () =>
    tarGzip([pi, endMark, file('evil')]),
  ),
  bytes('a gzip of text', /not a tar archive/, () => gzipSync('x'.repeat(5000))),
  bytes('a gzip of nothing', /not a tar archive/, () => gzipSync('')),
  bytes('no end mark', /cut short/, () => tarGzip([pi], Buffer.alloc(0))),
  bytes('half a header', /cut short/, () => tarGzip([pi], tarMember(pi).subarray(0, 300))),
  bytes('a file that is cut', /cut short/, () => gzipSync(tarArchive([pi]).subarray(0, 600))),
  bytes('only the end mark', /doesn't exist/, () => tarGzip([])),
  row('a wrong checksum in a header', /Header \d+ .*damaged/, [
    { ...file('evil'), checksumField: '000000\0 ' },
  ]),
  row('a directory with content', /damaged|has content/, [{ name: 'evil/', type: '5', content: 'x' }]),
  row('a PAX record of wrong length', /PAX header .*damaged/, [
    tarMember({ name: 'p', type: 'x', content: '99 path=../evil\n' }),
    file('a'),
  ]),
  row('a PAX record of no length', /PAX header .*damaged/, [
    tarMember({ name: 'p', type: 'x', content: '0 path=../evil\n' }),
    file('a'),
  ]),
  row('a PAX size that is none', /whole number of bytes/, [paxHeader({ size: '-1' }), file('a')]),
  row('a PAX name for all entries', /global PAX header sets "path"/, [
    paxHeader({ path: '../evil' }, 'g'),
    file('a'),
  ]),
  row('the same PAX header twice', /same extra header twice/, [
    paxHeader({ path: 'a' }),
    paxHeader({ path: '../evil' }),
    file('a'),
  ]),
  row('a PAX header without its entry', /extra header without its entry/, [paxHeader({ path: 'evil' })]),
]

export const archiveRows: readonly ArchiveRow[] = [
  ...leaving,
  ...names,
  ...links,
  ...types,
  ...collisions,
  ...amounts,
  ...structure,
]
