import { createHmac, generateKeyPairSync } from 'node:crypto'
import { EncryptJWT, SignJWT } from 'jose'
import { expect, test } from 'vitest'
import type { Preferences, PreferencesData } from '../../store/preferences.ts'
import { createTokens } from './tokens.ts'

function memoryPreferences(begin: Partial<PreferencesData> = {}): Preferences {
  let data: PreferencesData = { version: 1, password: { hash: 'h', version: 1 }, ...begin }
  return {
    current: () => data,
    update: async (change) => {
      data = change(data)
    },
  }
}

const begin = Date.UTC(2026, 5, 1)

async function start(preferences = memoryPreferences()) {
  const clock = { ms: begin }
  const tokens = await createTokens({ preferences, lifetimeMs: 86_400_000, now: () => clock.ms })
  const keyBytes = Buffer.from(preferences.current().tokenKey ?? '', 'base64url')
  return { clock, tokens, preferences, keyBytes }
}

/** A token as the server makes it, but for the given changes. */
function forge(key: Uint8Array, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) {
  const exp = begin / 1000 + 3600
  const all = { iss: 'molehill', aud: 'molehill', jti: 'forged', iat: begin / 1000, exp, pwv: 1, ...claims }
  return new SignJWT(all).setProtectedHeader({ alg: 'HS256', typ: 'molehill-token+jwt', ...header }).sign(key)
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token with any header at all, signed with HMAC-SHA256 by `key`. */
function sign(key: Uint8Array, header: Record<string, unknown>): string {
  const claims = { iss: 'molehill', aud: 'molehill', jti: 'x', iat: 1, exp: begin / 1000 + 3600, pwv: 1 }
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

const invalid = { code: 'token-invalid', message: 'This service requires a valid token' }

test('an issued token passes and tells its id and end', async () => {
  const { tokens } = await start()
  const { token, durationMs } = await tokens.issue()
  expect(durationMs).toBe(86_400_000)
  const verified = await tokens.verify(token)
  expect(verified).toEqual({ id: expect.stringMatching(/^[\w-]{22}$/), expiresAt: begin + 86_400_000 })
  expect(await tokens.verify(token)).toEqual(verified)
  expect((await tokens.verify((await tokens.issue()).token)).id).not.toBe(verified.id)
})

test('a token made like ours passes, so that the refusals below mean something', async () => {
  const { tokens, keyBytes } = await start()
  expect((await tokens.verify(await forge(keyBytes))).id).toBe('forged')
  await expect(
    tokens.verify(sign(keyBytes, { alg: 'HS256', typ: 'molehill-token+jwt' })),
  ).resolves.toBeDefined()
})

test('it ends with its time, also when it has passed before', async () => {
  const { tokens, clock } = await start()
  const { token } = await tokens.issue()
  const { token: unseen } = await tokens.issue()
  clock.ms += 86_399_999
  await tokens.verify(token)
  clock.ms += 1
  await expect(tokens.verify(token)).rejects.toMatchObject(invalid)
  await expect(tokens.verify(unseen)).rejects.toMatchObject(invalid)
})

test('it outlives a restart and a small change of the clock', async () => {
  const first = await start()
  const { token } = await first.tokens.issue()
  const second = await start(memoryPreferences(first.preferences.current()))
  second.clock.ms -= 5000
  await expect(second.tokens.verify(token)).resolves.toMatchObject({ expiresAt: begin + 86_400_000 })
})

test('it is void after the password was changed, at once and after a restart', async () => {
  const { tokens, preferences } = await start()
  const { token } = await tokens.issue()
  await tokens.verify(token)
  await preferences.update((current) => ({ ...current, password: { hash: 'other', version: 2 } }))
  await expect(tokens.verify(token)).rejects.toMatchObject(invalid)
  const again = await start(memoryPreferences(preferences.current()))
  await expect(again.tokens.verify(token)).rejects.toMatchObject(invalid)
  await expect(tokens.verify((await tokens.issue()).token)).resolves.toBeDefined()
})

test('it is good for its own data directory only', async () => {
  const { token } = await (await start()).tokens.issue()
  await expect((await start()).tokens.verify(token)).rejects.toMatchObject(invalid)
})

test('any other spelling of it is refused, before and after it has passed', async () => {
  const { tokens } = await start()
  const { token } = await tokens.issue()
  const [header = '', claims = '', signature = ''] = token.split('.')
  const spellings = [
    `${token}=`,
    `${token} `,
    ` ${token}`,
    `${token}\n`,
    `${header}=.${claims}.${signature}`,
    `${header}.${claims}.`,
    `${header}..${signature}`,
    `${token}.`,
    `${token}.x`,
    `${header}.${claims}`,
    token.toUpperCase(),
    // The last letter of 43 carries two bits that count for nothing.
    token.slice(0, -1) + String.fromCodePoint((token.codePointAt(token.length - 1) ?? 0) + 1),
    token.replaceAll('-', '+').replaceAll('_', '/').concat('='),
    '',
    '..',
  ]
  const refused = async () =>
    (await Promise.allSettled(spellings.map((spelling) => tokens.verify(spelling)))).filter(
      ({ status }) => status === 'rejected',
    )
  expect(await refused()).toHaveLength(spellings.length)
  await tokens.verify(token)
  expect(await refused()).toHaveLength(spellings.length)
})

test('no changed letter goes unnoticed', async () => {
  const { tokens } = await start()
  const { token } = await tokens.issue()
  for (let at = 0; at < token.length; at += 1) {
    const letter = token[at] === 'A' ? 'B' : 'A'
    await expect(tokens.verify(token.slice(0, at) + letter + token.slice(at + 1))).rejects.toMatchObject(
      invalid,
    )
  }
})

test.each([
  ['another issuer', { iss: 'other' }],
  ['another audience', { aud: 'other' }],
  ['no id', { jti: undefined }],
  ['an id that is no text', { jti: 5 }],
  ['no password version', { pwv: undefined }],
  ['an older password version', { pwv: 0 }],
  ['no end', { exp: undefined }],
  ['an end that is no number', { exp: '9999999999' }],
  ['an end in the past', { exp: 1 }],
  ['a beginning in the future', { nbf: begin / 1000 + 60 }],
])('a token of our own key with %s is refused', async (_, claims) => {
  const { tokens, keyBytes } = await start()
  await expect(tokens.verify(await forge(keyBytes, claims))).rejects.toMatchObject(invalid)
})

test.each([
  ['no type', { alg: 'HS256' }],
  ['another type', { alg: 'HS256', typ: 'JWT' }],
  ['no algorithm', { alg: 'none', typ: 'molehill-token+jwt' }],
  ['no algorithm spelled otherwise', { alg: 'nOnE', typ: 'molehill-token+jwt' }],
  ['another algorithm', { alg: 'HS512', typ: 'molehill-token+jwt' }],
  ['a critical extension', { alg: 'HS256', typ: 'molehill-token+jwt', crit: ['x'], x: 1 }],
])('a token of our own key whose header has %s is refused', async (_, header) => {
  const { tokens, keyBytes } = await start()
  await expect(tokens.verify(sign(keyBytes, header))).rejects.toMatchObject(invalid)
})

test('tokens of other keys and kinds are refused', async () => {
  const { tokens, keyBytes } = await start()
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' })
  const foreign = [
    await forge(Buffer.alloc(32)),
    await forge(Buffer.from(publicPem)),
    await new SignJWT({}).setProtectedHeader({ alg: 'ES256', typ: 'molehill-token+jwt' }).sign(privateKey),
    await new EncryptJWT({}).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(keyBytes),
    `${encode({ alg: 'none' })}.${encode({ iss: 'molehill' })}.`,
    `${encode([])}.${encode({})}.AAAA`,
    `AAAA.AAAA.AAAA`,
  ]
  for (const token of foreign) await expect(tokens.verify(token)).rejects.toMatchObject(invalid)
  await expect(tokens.verify(undefined)).rejects.toMatchObject(invalid)
})

test('a token over 8 kB is refused even when it is right', async () => {
  const { tokens, keyBytes } = await start()
  await expect(tokens.verify(await forge(keyBytes, { x: 'x'.repeat(5000) }))).resolves.toBeDefined()
  await expect(tokens.verify(await forge(keyBytes, { x: 'x'.repeat(6200) }))).rejects.toMatchObject(invalid)
})

test('a token of a user says whose it is and for which key, and half of that is refused', async () => {
  const { tokens, keyBytes } = await start()
  const holder = { name: 'ann', key: 'k1' }
  const { token } = await tokens.issue(holder)
  expect(await tokens.verify(token)).toMatchObject({ holder })
  expect(await tokens.verify((await tokens.issue()).token)).not.toHaveProperty('holder')
  for (const claims of [{ sub: 'ann' }, { key: 'k1' }, { sub: '', key: 'k1' }, { sub: 5, key: 'k1' }])
    await expect(tokens.verify(await forge(keyBytes, claims))).rejects.toMatchObject(invalid)
})
