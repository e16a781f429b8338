/** Bytes on a connection, and the answer as text: much of this is refused beneath the routes, with no body. */
export interface WireRow {
  readonly name: string
  readonly pieces: (token: string) => readonly (string | Buffer)[]
  readonly answer: RegExp
}

const form = 'Content-Type: application/x-www-form-urlencoded\r\n'
const badRequest = /^HTTP\/1\.1 400 /

/** Asks for the list; `lines` are its headers behind the host. */
function ask(name: string, lines: string, answer = badRequest, body = ''): WireRow {
  return {
    name,
    pieces: (token) => [
      `POST /list?token=${token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${lines}\r\n${body}`,
    ],
    answer,
  }
}

function bytes(name: string, text: string, answer = badRequest): WireRow {
  return { name, pieces: (token) => [text.replace('TOKEN', token)], answer }
}

const chunked = `Transfer-Encoding: chunked\r\n${form}`

export const wireRows: readonly WireRow[] = [
  ask('both length headers', `Content-Length: 3\r\n${chunked}`, badRequest, '3\r\na=b\r\n0\r\n\r\n'),
  ask('both length headers, the other way round', `${chunked}Content-Length: 3\r\n`, badRequest, '0\r\n\r\n'),
  ask('two lengths', `Content-Length: 3\r\nContent-Length: 5\r\n${form}`, badRequest, 'a=b'),
  ask('two lengths in one header', `Content-Length: 3, 3\r\n${form}`, badRequest, 'a=b'),
  ask('a negative length', `Content-Length: -1\r\n${form}`),
  ask('a length with a sign', `Content-Length: +3\r\n${form}`, badRequest, 'a=b'),
  ask('a length that is no number', `Content-Length: 0x3\r\n${form}`, badRequest, 'a=b'),
  ask('a length beyond all numbers', `Content-Length: 99999999999999999999\r\n${form}`),
  ask(
    'a length beyond the limit',
    `Content-Length: 99999999999\r\n${form}`,
    /^HTTP\/1\.1 413 [^]*"body-too-large"/,
  ),
  ask('an unknown coding', 'Transfer-Encoding: xchunked\r\n'),
  ask('a coding behind chunked', 'Transfer-Encoding: chunked, identity\r\n'),
  ask(
    'chunked twice',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
    /^HTTP\/1\.1 (400|200) /,
    '0\r\n\r\n',
  ),
  ask('chunked with a vertical tab', 'Transfer-Encoding: \vchunked\r\n'),
  ask('a chunk without a length', chunked, badRequest, '\r\na=b\r\n0\r\n\r\n'),
  ask('a chunk whose length is no number', chunked, badRequest, 'zz\r\na=b\r\n0\r\n\r\n'),
  ask('a chunk whose length is negative', chunked, badRequest, '-3\r\na=b\r\n0\r\n\r\n'),
  ask('a chunk of more bytes than there are numbers', chunked, badRequest, 'ffffffffffffffffff\r\na=b'),
  ask('a chunk that is longer than it says', chunked, badRequest, '2\r\na=b\r\n0\r\n\r\n'),
  ask(
    'a chunk with an endless extension',
    chunked,
    /^HTTP\/1\.1 (400|413) /,
    `3;${'x'.repeat(40_000)}\r\na=b\r\n0\r\n\r\n`,
  ),
  ask('endless trailers', chunked, /^HTTP\/1\.1 (400|431) /, `0\r\n${'X: y\r\n'.repeat(10_000)}\r\n`),
  ask('a folded header', 'X-A: b\r\n c\r\n'),
  ask('a blank before the colon', 'X-A : b\r\n'),
  ask('a header without a colon', 'nonsense\r\n'),
  ask('a header without a name', ': b\r\n'),
  ask('NUL in a header', 'X-A: b\0c\r\n'),
  ask('a bare line feed behind a header', 'X-A: b\nX-B: c\r\n'),
  ask('a bare carriage return in a header', 'X-A: b\rX-B: c\r\n'),
  ask('escapes in the name of a header', 'X\u001b[31m: b\r\n'),
  ask('two hosts', 'Host: y\r\n'),
  ask('the same host twice', 'host: x\r\n'),
  ask('headers of 20 kB', `X-A: ${'x'.repeat(20_000)}\r\n`, /^HTTP\/1\.1 431 /),
  ask('6,000 headers', 'a:b\r\n'.repeat(6000), /^HTTP\/1\.1 431 /),
  ask('a header named __proto__', '__proto__: polluted\r\nconstructor: x\r\n', /^HTTP\/1\.1 200 [^]*\[/),
  ask('an upgrade', 'Connection: upgrade\r\nUpgrade: h2c\r\n', /^HTTP\/1\.1 (200|400) /),
  ask('an expectation that nobody has', 'Expect: wonders\r\n', /^HTTP\/1\.1 417 /),
  ask(
    'forged addresses',
    'X-Forwarded-For: 127.0.0.1\r\nForwarded: for=x\r\nX-Forwarded-Proto: gopher\r\n',
    /^HTTP\/1\.1 200 /,
  ),
  bytes('no host', 'POST /list?token=TOKEN HTTP/1.1\r\n\r\n'),
  bytes('a host that is none', 'POST /list?token=TOKEN HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'),
  bytes(
    'a host with a path',
    'POST /list?token=TOKEN HTTP/1.1\r\nHost: a/../b?c#d\r\nConnection: close\r\n\r\n',
  ),
  bytes(
    'a host with a port beyond all',
    'POST /list?token=TOKEN HTTP/1.1\r\nHost: x:99999\r\nConnection: close\r\n\r\n',
  ),
  bytes(
    'half a bracket as host',
    'POST /list?token=TOKEN HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n',
  ),
  bytes('a version to come', 'POST /list HTTP/9.9\r\nHost: x\r\n\r\n'),
  bytes('no version', 'POST /list\r\n\r\n'),
  bytes('another protocol', 'SSH-2.0-OpenSSH_9.9\r\n\r\n'),
  bytes('an unknown method', 'WONDER /list HTTP/1.1\r\nHost: x\r\n\r\n'),
  bytes('a method in small letters', 'post /list HTTP/1.1\r\nHost: x\r\n\r\n'),
  bytes('TRACE', 'TRACE /list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 (400|405) /),
  bytes(
    'PROPFIND',
    'PROPFIND /list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 405 [^]*Expected POST/,
  ),
  bytes(
    'all of the server',
    'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 40[045] /,
  ),
  bytes(
    'a tunnel',
    'CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n',
    /^(HTTP\/1\.1 40[05] .*[^]*)?$/,
  ),
  bytes(
    'another server',
    'POST http://169.254.169.254/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 40[01] /,
  ),
  bytes(
    'another scheme',
    'POST file:///etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 40[04] /,
  ),
  bytes(
    'a target without a slash',
    'POST list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 40[014] /,
  ),
  bytes('a target with a blank', 'POST /li st HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
  bytes(
    'a target with raw bytes',
    'POST /l\u00e9\u2028st HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 40[04] /,
  ),
  bytes('a target of 20 kB', `POST /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, /^HTTP\/1\.1 431 /),
  {
    name: 'a second request hidden in the body of the first',
    pieces: (token) => [
      `POST /list?token=${token} HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\n${form}\r\n`,
      'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'.padEnd(44, 'x'),
    ],
    answer: /^HTTP\/1\.1 200 (?![^]*HTTP\/1\.1)/,
  },
]
