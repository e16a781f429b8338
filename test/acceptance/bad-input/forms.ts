import { gzipSync } from 'node:zlib'
import { tarGzip } from '../../helpers/tar.ts'
import { script, type Refused } from './row.ts'

/** A body that /start gets. The token comes with the headers unless `isAnonymous`. */
export interface FormRow extends Refused {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | string
  readonly isAnonymous?: boolean
}

const boundary = 'edge'
const multipart = { 'content-type': `multipart/form-data; boundary=${boundary}` }
const urlencoded = { 'content-type': 'application/x-www-form-urlencoded' }
const archive = tarGzip([{ name: 'Pi.ts', content: script }])

function part(disposition: string, content: Buffer | string = 'x', more = ''): Buffer {
  return Buffer.concat([
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n${more}\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ])
}

const text = (name: string, content = 'Pi.ts') => part(`name="${name}"`, content)
const file = (name = 'workDirectory', content: Buffer | string = archive) =>
  part(`name="${name}"; filename="work.tgz"`, content)
const form = (...parts: readonly Buffer[]) => Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)])

function row(
  name: string,
  sentence: RegExp,
  body: Buffer | string,
  headers: Readonly<Record<string, string>> = multipart,
  status = 400,
): FormRow {
  return { name, status, sentence, body, headers }
}

const cut = /malformed or was cut short.*curl -F/
const notAForm = /^Expected a form, got .*application\/x-www-form-urlencoded/
const json = { 'content-type': 'application/json' }

export const formRows: readonly FormRow[] = [
  ...[
    '{',
    '{"token":',
    '{"__proto__":{"polluted":true}}',
    '{"constructor":{"prototype":{"polluted":true}}}',
    `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    '{"id":9007199254740993,"n":1e999,"z":-0}',
    '\ufeff{"script":"\\ud800"}',
    'null',
  ].map((body) => row(`JSON: ${body.slice(0, 40)}`, notAForm, body, json)),
  row('XML with entities', notAForm, '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', {
    'content-type': 'text/xml',
  }),
  row('plain text', notAForm, 'script=Pi.ts', { 'content-type': 'text/plain' }),
  row('a body of no kind', notAForm, 'script=Pi.ts', {}),
  row('a kind with escapes', notAForm, 'x', { 'content-type': 'a/b;\tc="\u00e9"' }),
  row('an archive as the whole body', notAForm, archive, { 'content-type': 'application/gzip' }),
  ...['gzip', 'br', 'deflate', 'zstd', 'gzip, identity', 'IDENTITY, gzip', 'x'.repeat(500)].map((encoding) =>
    row(
      `a body packed with ${encoding.slice(0, 20)}`,
      /^Expected a request without Content-Encoding, got /,
      gzipSync(form(text('script'), file())),
      { ...multipart, 'content-encoding': encoding },
    ),
  ),
  row('a form without a boundary', cut, form(text('script')), { 'content-type': 'multipart/form-data' }),
  row('an empty boundary', cut, form(text('script')), { 'content-type': 'multipart/form-data; boundary=' }),
  row('a boundary of 8,000 letters', cut, form(text('script')), {
    'content-type': `multipart/form-data; boundary=${'x'.repeat(8000)}`,
  }),
  row('another boundary than was announced', cut, form(text('script')), {
    'content-type': 'multipart/form-data; boundary=other',
  }),
  row('a form without its end', cut, form(text('script'), file()).subarray(0, -8)),
  row('a form that ends in an archive', cut, form(text('script'), file()).subarray(0, -120)),
  row('a form that ends in a header', cut, `--${boundary}\r\nContent-Dispo`),
  row('a form of nothing but its boundary', cut, `--${boundary}`),
  row('a form of noise', cut, gzipSync('noise'.repeat(1000))),
  row('50 fields', /at most 32 fields/, form(...Array.from({ length: 50 }, (_, n) => text(`f${n}`)))),
  row(
    '5,000 fields without names',
    /at most 32 fields|cut short|Missing mandatory/,
    form(...Array.from({ length: 5000 }, () => part('x'))),
    multipart,
    400,
  ),
  row('two archives', /one archive, got two/, form(text('script'), file(), file())),
  row('three archives', /one archive, got two|one file/, form(text('script'), file(), file(), file())),
  row(
    'a file of another name',
    /"directory" is not expected.*workDirectory/,
    form(text('script'), file('directory')),
  ),
  row('a file named __proto__', /"__proto__" is not expected/, form(text('script'), file('__proto__'))),
  row(
    'a file with a line break in its name',
    /is not expected here/,
    form(text('script'), file('a%0Ab\u001b')),
  ),
  row('a script that is a file', /^Expected text for the parameter "script"/, form(file('script', 'x'))),
  row('two scripts', /"script" was sent twice/, form(text('script'), text('script', 'Other.ts'), file())),
  row(
    'a script in the query-like name of a list',
    /Missing mandatory script/,
    form(text('script[]'), file()),
    multipart,
    417,
  ),
  row(
    'a script whose name is written in capital letters',
    /Missing mandatory script/,
    form(text('SCRIPT'), file()),
    multipart,
    417,
  ),
  row(
    'a field of two megabytes',
    /larger than \d+ bytes.*Leave out/,
    form(text('script', 'x'.repeat(2_000_000))),
    multipart,
    413,
  ),
  row(
    'a body of four megabytes',
    /larger than \d+ bytes.*Leave out/,
    form(file('workDirectory', Buffer.alloc(4_000_000))),
    multipart,
    413,
  ),
  row(
    'a part with 100 headers',
    /Missing mandatory/,
    form(part('name="script"', 'Pi.ts', 'X-A: b\r\n'.repeat(100))),
    multipart,
    417,
  ),
  row(
    'a part whose header is 64 kB long',
    /Missing mandatory|cut short/,
    form(part('name="script"', 'Pi.ts', `X: ${'y'.repeat(65_536)}\r\n`)),
    multipart,
    417,
  ),
  row(
    'a part with headers without sense',
    /Missing mandatory workDirectory/,
    `--${boundary}\r\n\0\0: x\r\nnonsense\r\n\r\nx\r\n--${boundary}--\r\n`,
    multipart,
    417,
  ),
  row(
    'a part named __proto__',
    /Missing mandatory workDirectory/,
    form(text('__proto__', 'polluted')),
    multipart,
    417,
  ),
  row(
    'a part named constructor',
    /Missing mandatory workDirectory/,
    form(text('constructor'), text('prototype')),
    multipart,
    417,
  ),
  row(
    'an archive as a form in a form',
    /not a gzip stream/,
    form(
      text('script'),
      part('name="workDirectory"', '--inner--\r\n', 'Content-Type: multipart/mixed; boundary=inner\r\n'),
    ),
    multipart,
    417,
  ),
  row(
    'an archive as text',
    /with the @/,
    form(text('script'), text('workDirectory', '@work.tgz')),
    multipart,
    417,
  ),
  row(
    'an archive in base64',
    /not a gzip stream/,
    form(
      text('script'),
      part(
        'name="workDirectory"; filename="a"',
        archive.toString('base64'),
        'Content-Transfer-Encoding: 8bit\r\n',
      ),
    ),
    multipart,
    417,
  ),
  row('an empty archive', /gzip/, form(text('script'), file('workDirectory', '')), multipart, 417),
  row(
    'an urlencoded form of two megabytes',
    /larger than \d+ bytes/,
    `script=${'x'.repeat(4_000_000)}`,
    urlencoded,
    413,
  ),
  row(
    'an urlencoded form of 200 fields',
    /at most 100 parameters/,
    Array.from({ length: 200 }, (_, n) => `p${n}=1`).join('&'),
    urlencoded,
  ),
  row(
    'an urlencoded form with percent signs without sense',
    /Missing mandatory workDirectory/,
    'script=%zz%&%=%',
    urlencoded,
    417,
  ),
  row('an urlencoded form with two scripts', /"script" was sent twice/, 'script=a&script=b', urlencoded),
  row(
    'a file for an input with an archive',
    /^Files of inputs may only come with a workflow of the catalog.*Put them into/,
    form(text('script'), file(), file('input.x', 'x')),
  ),
  row(
    'a workflow with an archive',
    /^Expected either the parameter "workflow"/,
    form(text('workflow', 'influenza'), file()),
  ),
  row(
    'a file for an input that there is not',
    /^\w*: there is no such input/,
    form(text('workflow', 'influenza'), file('input.__proto__', 'x')),
    multipart,
    417,
  ),
  row(
    'a file for an input without a name',
    /^: there is no such input/,
    form(text('workflow', 'influenza'), file('input.', 'x')),
    multipart,
    417,
  ),
  row(
    'a file of another ending for an input',
    /^record: expected a file that ends in \.csv/,
    form(text('workflow', 'influenza'), file('input.record', 'x')),
    multipart,
    417,
  ),
  row(
    'files for an input that is a number',
    /^samples: it is no file input/,
    form(text('workflow', 'influenza'), file('input.samples', '10')),
    multipart,
    417,
  ),
  row(
    'an input as text with the name of a file',
    /Missing mandatory workDirectory/,
    form(text('input.record', 'x')),
    multipart,
    417,
  ),
  row(
    '65 files for inputs',
    /at most 32 fields and 64 files/,
    form(text('workflow', 'influenza'), ...Array.from({ length: 70 }, () => file('input.record', 'x'))),
  ),
  row(
    'a file for an input that breaks off',
    cut,
    form(text('workflow', 'influenza'), file('input.record', 'x'.repeat(1000))).subarray(0, -60),
  ),
  {
    ...row(
      'a token after a file for an input',
      /requires a valid token.*must come before the file/,
      form(text('workflow', 'influenza'), file('input.record', 'x')),
      multipart,
      401,
    ),
    isAnonymous: true,
  },
  {
    ...row(
      'a token after the archive',
      /requires a valid token.*must come before the file/,
      form(text('script'), file()),
      multipart,
      401,
    ),
    isAnonymous: true,
  },
  ...['', 'with blank', 'x'.repeat(256), 'caf\u00e9'].map((key) =>
    row(`the Idempotency-Key ${key.slice(0, 20)}`, /1 to 255 visible ASCII/, form(text('script'), file()), {
      ...multipart,
      'idempotency-key': key,
    }),
  ),
]
