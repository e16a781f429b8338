import type { Refused } from './row.ts'

export interface ParameterRow extends Refused {
  readonly method?: string
  /** TOKEN and ID stand for a good token and for an execution that is there. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
}

const ofExecutions = [
  '/state',
  '/output',
  '/download',
  '/files',
  '/jobs',
  '/cancel',
  '/remove',
  '/events',
  '/explain',
]

const ids: readonly (readonly [string, string, number, RegExp])[] = [
  ['without an id', '', 417, /^id is missing/],
  ['with an empty id', '&id=', 417, /^Execution not found/],
  ['with an id that leaves', '&id=..%2F..', 417, /^Execution not found/],
  ['with an id of 4,000 letters', `&id=${'x'.repeat(4000)}`, 417, /^Execution not found/],
  ['with an id with NUL and line breaks', '&id=%00%0a%0d%1b%5b31m', 417, /^Execution not found/],
  ['with the id __proto__', '&id=__proto__', 417, /^Execution not found/],
  ['with two ids', '&id=ID&id=other', 400, /"id" was sent twice/],
]

function bad(name: string, target: string, sentence: RegExp, status = 400): ParameterRow {
  return { name, target, sentence, status }
}

/** What is asked of one parameter of a route, and values of it that cannot be. */
function badValues(path: string, name: string, values: readonly string[]): readonly ParameterRow[] {
  return values.map((value) =>
    bad(
      `${path} with ${name}=${value}`,
      `${path}?token=TOKEN&id=ID&${name}=${encodeURIComponent(value)}`,
      new RegExp(`"${name}" cannot be read: `),
    ),
  )
}

const numbers = ['-1', '1.5', 'many', 'NaN', 'Infinity', '1e99', '9007199254740993', '1,000', '\u0661', '[1]']

/** Names of workflows that there cannot be. */
const names = [
  '',
  '.',
  '..',
  '../../workflows/influenza',
  'influenza/../influenza',
  'influenza/',
  '/etc',
  'influenza\0',
  'a\r\nb\u001b[31m',
  '__proto__',
  'constructor',
  'INFLUENZA',
  '.adding-x',
  'x'.repeat(4000),
]

const badInputs: readonly (readonly [string, RegExp])[] = [
  ['{"samples":9}', /^samples: expected at least 10, got 9/],
  ['{"samples":1e9}', /^samples: expected at most 1000000/],
  ['{"samples":10.5}', /^samples: expected a whole number, got 10.5/],
  ['{"samples":"100"}', /^samples: expected a whole number, got "100"/],
  ['{"samples":null}', /^samples: expected a whole number, got null/],
  ['{"samples":1e999}', /^samples: expected a whole number, got Infinity/],
  ['{"samples":[100]}', /^samples: expected a whole number, got an array of 1/],
  ['{"distance":"cosine"}', /^distance: expected one of "root mean square", "mean absolute", got "cosine"/],
  ['{"distance":"__proto__"}', /^distance: expected one of /],
  ['{"record":"data/record.txt"}', /^record: expected a file that ends in \.csv/],
  ['{"record":"data/none.csv"}', /^record: "data\/none.csv" is not in the work directory/],
  ['{"record":"../../../outside/secret.csv"}', /^record: .* is no path inside the work directory/],
  ['{"record":"/etc/passwd.csv"}', /^record: .* is no path inside the work directory/],
  ['{"other":1}', /^other: there is no such input/],
  ['{"__proto__":{"polluted":true}}', /^__proto__: there is no such input/],
  [
    '{"constructor":1,"toString":2}',
    /^constructor: there is no such input[^]*toString: there is no such input/,
  ],
]

export const parameterRows: readonly ParameterRow[] = [
  ...ofExecutions.flatMap((path) =>
    ids.map(([what, id, status, sentence]) =>
      bad(`${path} ${what}`, `${path}?token=TOKEN${id}`, sentence, status),
    ),
  ),
  ...badValues('/jobs', 'limit', ['', '0', '1001', ...numbers]),
  ...badValues('/jobs', 'after', numbers),
  ...badValues('/jobs', 'state', ['', 'done', '__proto__', 'READY', 'ready ', 'ready,failed']),
  ...badValues('/events', 'after', numbers),
  ...badValues('/explain', 'job', ['', '0', ...numbers]),
  ...badValues('/download', 'gzip', ['maybe', '', '2']),
  ...['/start', '/validate'].flatMap((path) => [
    bad(
      `${path} without a work directory`,
      `${path}?token=TOKEN&script=Pi.ts`,
      /^Missing mandatory workDirectory.*curl -F/,
      417,
    ),
    bad(
      `${path} with a work directory as text`,
      `${path}?token=TOKEN&script=Pi.ts&workDirectory=x`,
      /with the @/,
      417,
    ),
  ]),
  ...['/start', '/validate'].flatMap((path) => [
    ...names.map((name) =>
      bad(
        `${path} with the workflow ${JSON.stringify(name).slice(0, 40)}`,
        `${path}?token=TOKEN&workflow=${encodeURIComponent(name)}`,
        /^There is no workflow named ".*catalog list/,
        404,
      ),
    ),
    ...['', '{', '[]', 'null', '1', '"a"', '{"a":}', "{'a':1}"].map((inputs) =>
      bad(
        `${path} with the inputs ${inputs}`,
        `${path}?token=TOKEN&workflow=influenza&inputs=${encodeURIComponent(inputs)}`,
        /^The inputs have to be a JSON object/,
      ),
    ),
    ...badInputs.map(([inputs, sentence]) =>
      bad(
        `${path} of influenza with ${inputs.slice(0, 40)}`,
        `${path}?token=TOKEN&workflow=influenza&inputs=${encodeURIComponent(inputs)}`,
        sentence,
        417,
      ),
    ),
    bad(
      `${path} with a workflow and a script`,
      `${path}?token=TOKEN&workflow=influenza&script=Pi.ts`,
      /^Expected either the parameter "workflow", or "script"/,
    ),
    bad(
      `${path} with two workflows`,
      `${path}?token=TOKEN&workflow=a&workflow=b`,
      /"workflow" was sent twice/,
    ),
  ]),
  ...names.map((name) =>
    bad(
      `/describe of ${JSON.stringify(name).slice(0, 40)}`,
      `/describe?token=TOKEN&workflow=${encodeURIComponent(name)}`,
      /^There is no workflow named "/,
      404,
    ),
  ),
  ...names.map((name) =>
    bad(
      `/catalog/remove of ${JSON.stringify(name).slice(0, 40)}`,
      `/catalog/remove?token=TOKEN&name=${encodeURIComponent(name)}`,
      /^There is no workflow named "/,
      404,
    ),
  ),
  bad('/describe of nothing', '/describe?token=TOKEN', /^workflow is missing/, 417),
  bad('/catalog/remove of nothing', '/catalog/remove?token=TOKEN', /^name is missing/, 417),
  bad(
    '/catalog/remove of a shipped one',
    '/catalog/remove?token=TOKEN&name=influenza',
    /^influenza comes with Molehill/,
    409,
  ),
  bad(
    '/catalog/add without files',
    '/catalog/add?token=TOKEN&name=a',
    /^Missing mandatory workDirectory/,
    417,
  ),
  ...['/token', '/start', '/catalog', '/describe', ...ofExecutions].map((path) => ({
    ...bad(`GET ${path}`, `${path}?token=TOKEN&id=ID`, /^Expected POST for .*, got GET/, 405),
    method: 'GET',
  })),
  ...['PUT', 'DELETE', 'PATCH', 'PROPFIND'].map((method) => ({
    ...bad(`${method} /state`, '/state?token=TOKEN&id=ID', /^Expected POST for "?\/state"?, got /, 405),
    method,
  })),
  bad('POST /livez', '/livez', /^Expected GET, HEAD/, 405),
  bad('a route with a parent step', '/state/..', /^Expected GET, HEAD for \/, got POST/, 405),
  bad('a token without a password', '/token', /^No password sent/, 417),
  bad('an empty password', '/token?password=', /^Server password is incorrect/, 403),
  bad('a password with NUL', '/token?password=open%20sesame%00', /^Server password is incorrect/, 403),
  bad(
    'a password of 4,000 letters',
    `/token?password=${'x'.repeat(4000)}`,
    /^Server password is incorrect/,
    403,
  ),
  bad('two passwords', '/token?password=open+sesame&password=x', /"password" was sent twice/),
  bad('two tokens', '/list?token=TOKEN&token=x', /"token" was sent twice/),
  bad(
    'over 100 parameters',
    `/list?token=TOKEN&${Array.from({ length: 120 }, (_, n) => `p${n}=`).join('&')}`,
    /at most 100 parameters/,
  ),
  bad(
    'a name of a parameter with a line break, twice',
    '/list?token=TOKEN&a%0ab=1&a%0ab=2',
    /"a\\nb" was sent twice/,
  ),
  ...['', 'Bearer', 'Bearer x.y.z', `Bearer ${'x'.repeat(4000)}`, 'Basic dTpw'].map((authorization) => ({
    ...bad(
      `files of a job with ${JSON.stringify(authorization.slice(0, 20))}`,
      '/job-files/0123456789abcdef/job-1',
      /^This service requires a valid token Send it as|^File not found/,
      authorization.startsWith('Bearer ') ? 404 : 401,
    ),
    method: 'GET',
    headers: { authorization },
  })),
  bad('a POST for the files of a job', '/job-files/a/b?token=TOKEN', /^Expected GET/, 405),
  ...[
    '/nowhere',
    '//state',
    '/state/',
    '/STATE',
    '/%2e%2e/etc/passwd',
    '/..%2f..%2fetc%2fpasswd',
    '/a%0ab%1b[31m',
    '/__proto__',
    `/${'x'.repeat(5000)}`,
  ].map((path) =>
    bad(
      `the route ${path.slice(0, 40)}`,
      `${path}?token=TOKEN&id=ID`,
      /^There is no route ".*openapi\.json/,
      404,
    ),
  ),
]
