import { createHmac, randomBytes } from 'node:crypto'

/** What tokens of this server are made of. */
export interface TokenKit {
  readonly key: Buffer
  /** One that the server has given out. */
  readonly token: string
  readonly nowSeconds: number
}

/** All are refused alike: 401 and one sentence, whatever is wrong. */
export interface TokenRow {
  readonly name: string
  readonly token: (kit: TokenKit) => string
}

const header = { alg: 'HS256', typ: 'molehill-token+jwt' }

/** A token that is signed as it should be; `changes` are made before. */
export function signToken(
  { key, nowSeconds }: TokenKit,
  changes: {
    readonly header?: object
    readonly claims?: object
    readonly key?: Buffer
    readonly hash?: string
  } = {},
): string {
  const claims = {
    pwv: 1,
    iss: 'molehill',
    aud: 'molehill',
    jti: 'made-by-hand',
    iat: nowSeconds,
    exp: nowSeconds + 600,
  }
  const signed = `${encode({ ...header, ...changes.header })}.${encode({ ...claims, ...changes.claims })}`
  const hmac = createHmac(changes.hash ?? 'sha256', changes.key ?? key)
  return `${signed}.${hmac.update(signed).digest('base64url')}`
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

const claims = (name: string, changed: object): TokenRow => ({
  name,
  token: (kit) => signToken(kit, { claims: changed }),
})
const headed = (name: string, changed: object): TokenRow => ({
  name,
  token: (kit) => signToken(kit, { header: changed }),
})
const respelled = (name: string, change: (token: string) => string): TokenRow => ({
  name,
  token: ({ token }) => change(token),
})

function replacePart(token: string, index: number, change: (part: string) => string): string {
  return token
    .split('.')
    .map((part, at) => (at === index ? change(part) : part))
    .join('.')
}

export const tokenRows: readonly TokenRow[] = [
  ...['none', 'None', 'NONE', 'nOnE', ''].flatMap((alg) => [
    {
      name: `signed by nothing: the algorithm ${JSON.stringify(alg)}, no signature`,
      token: (kit: TokenKit) => replacePart(signToken(kit, { header: { alg } }), 2, () => ''),
    },
    headed(`the algorithm ${JSON.stringify(alg)} with a good signature`, { alg }),
  ]),
  ...['HS384', 'HS512', 'RS256', 'ES256', 'EdDSA', 'hs256'].map((alg) =>
    headed(`the algorithm ${alg} announced`, { alg }),
  ),
  {
    name: 'signed with another length of hash',
    token: (kit) => signToken(kit, { header: { alg: 'HS512' }, hash: 'sha512' }),
  },
  { name: 'signed by another key', token: (kit) => signToken(kit, { key: randomBytes(32) }) },
  { name: 'signed by an empty key', token: (kit) => signToken(kit, { key: Buffer.alloc(0) }) },
  { name: 'signed by the password', token: (kit) => signToken(kit, { key: Buffer.from('open sesame') }) },
  claims('expired', { exp: 1_600_000_000 }),
  claims('expired a second ago', { exp: Math.floor(Date.now() / 1000) - 1 }),
  claims('without an end', { exp: undefined }),
  claims('whose end is a text', { exp: '99999999999' }),
  claims('whose end is beyond all numbers', { exp: Number.POSITIVE_INFINITY }),
  claims('not yet valid', { nbf: Math.floor(Date.now() / 1000) + 3600 }),
  claims('without an issuer', { iss: undefined }),
  claims('of another issuer', { iss: 'elsewhere' }),
  claims('for another audience', { aud: 'elsewhere' }),
  claims('without an audience', { aud: undefined }),
  claims('without an id', { jti: undefined }),
  claims('with an id that is a number', { jti: 5 }),
  claims('of an older password', { pwv: 0 }),
  claims('of a password to come', { pwv: 2 }),
  claims('of no password', { pwv: undefined }),
  headed('of another type', { typ: 'JWT' }),
  headed('of no type', { typ: undefined }),
  headed('with a critical extension', { crit: ['exp'] }),
  headed('with an unencoded payload', { crit: ['b64'], b64: false }),
  {
    name: 'with its key in its header',
    token: (kit) => {
      const key = randomBytes(32)
      return signToken(kit, { key, header: { jwk: { kty: 'oct', k: key.toString('base64url') } } })
    },
  },
  {
    name: 'with a key that is a path',
    token: (kit) => signToken(kit, { key: Buffer.alloc(0), header: { kid: '../../../../dev/null' } }),
  },
  respelled('without its signature', (token) => replacePart(token, 2, () => '')),
  respelled('without its dots', (token) => token.replaceAll('.', '')),
  respelled('with a fourth part', (token) => `${token}.x`),
  respelled('with a blank behind', (token) => `${token} `),
  respelled('with a blank before', (token) => ` ${token}`),
  respelled('with a line break behind', (token) => `${token}\n`),
  respelled('with NUL behind', (token) => `${token}\0`),
  respelled('with padding', (token) => replacePart(token, 2, (part) => `${part}=`)),
  respelled('with a blank in its signature', (token) =>
    replacePart(token, 2, (part) => `${part.slice(0, 9)} ${part.slice(9)}`),
  ),
  respelled('with other last bits in its signature', (token) =>
    replacePart(token, 2, (part) => part.slice(0, -1) + nextLetter(part.at(-1) ?? '')),
  ),
  respelled('with another first letter in its signature', (token) =>
    replacePart(token, 2, (part) => (part.startsWith('A') ? 'B' : 'A') + part.slice(1)),
  ),
  respelled('with other claims', (token) =>
    replacePart(token, 1, (part) =>
      encode({ ...JSON.parse(Buffer.from(part, 'base64url').toString()), exp: 9e9 }),
    ),
  ),
  respelled('in capital letters', (token) => token.toUpperCase()),
  respelled('twice in one', (token) => `${token}${token}`),
  ...['', ' ', '.', '..', '...', 'x', 'null', '{}', 'a.b.c', '\u0000', '\ud83d\ude00'].map((text) => ({
    name: `that is ${JSON.stringify(text)}`,
    token: () => text,
  })),
  { name: 'of nine kilobytes', token: () => `${'x'.repeat(3000)}.${'y'.repeat(3000)}.${'z'.repeat(3000)}` },
  {
    name: 'that is encrypted with a password',
    token: () =>
      `${encode({ alg: 'PBES2-HS256+A128KW', enc: 'A128CBC-HS256', p2c: 2_147_483_647, p2s: 'x' })}.a.b.c.d`,
  },
  {
    name: 'whose header is no JSON',
    token: ({ token }) => replacePart(token, 0, () => Buffer.from('{"alg":').toString('base64url')),
  },
  {
    name: 'whose claims are a list',
    token: (kit) => replacePart(signToken(kit), 1, () => Buffer.from('[]').toString('base64url')),
  },
]

/** A letter whose base64 differs in the last bits only, which no byte of the signature takes. */
function nextLetter(letter: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return letters[letters.indexOf(letter) ^ 1] ?? ''
}
