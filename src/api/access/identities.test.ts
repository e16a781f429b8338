import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  audience,
  clientId,
  clientSecret,
  startIdentityProvider,
  type TestIdentityProvider,
} from '../../../test/helpers/identity-provider.ts'
import { writeFileDurably } from '../../files/durable-file.ts'
import { openPreferences } from '../../store/preferences.ts'
import type { Users } from '../../users/contract.ts'
import { createUsers } from '../../users/users.ts'
import { createIdentities } from './identities.ts'
import { createIdentityProvider, type ProviderOptions } from './identity-provider.ts'

let idp: TestIdentityProvider
let directory: string
let users: Users
let clock: { aheadMs: number }

beforeAll(async () => {
  idp = await startIdentityProvider()
})
afterAll(() => idp.close())
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-identities-'))
  users = createUsers(await openPreferences(join(directory, 'preferences.json'), writeFileDurably), () => 1)
  await users.add('ann', { identity: { issuer: idp.issuer, subject: 'subject of ann' } })
  clock = { aheadMs: 0 }
  idp.requests.length = 0
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const open = (options: Partial<ProviderOptions> & { readonly isAdding?: boolean } = {}) => {
  const { isAdding = false, ...others } = options
  const now = () => Date.now() + clock.aheadMs
  const provider = createIdentityProvider({ issuer: idp.issuer, audience, now, ...others })
  return createIdentities({ provider, users, isAdding, now })
}
const client = { id: clientId, secret: clientSecret }
const ann = { kind: 'user', name: 'ann', rights: { submitter: false, workflows: 'catalog' } }

describe('a signed token', () => {
  test('is its user, by issuer and subject, and is checked once for all requests', async () => {
    const identities = open()
    const token = await idp.issueToken('subject of ann')
    const found = await Promise.all([1, 2, 3].map(async () => identities.identify(token)))
    for (const each of found)
      expect(each).toMatchObject({ ...ann, id: expect.stringMatching(/^oidc-[0-9a-f]{16}$/) })
    await identities.identify(token)
    expect(idp.requests).toEqual(['GET /.well-known/openid-configuration', 'GET /jwks'])
    await identities.identify(await idp.issueToken('subject of ann'))
    expect(idp.requests).toHaveLength(2)
  })

  test('of somebody who is no user is refused, unless whoever comes becomes one', async () => {
    const token = await idp.issueToken('a stranger')
    await expect(open().identify(token)).rejects.toMatchObject({
      code: 'not-allowed',
      message: `No user of this server is "a stranger" at ${idp.issuer}.`,
    })
    expect(users.list()).toHaveLength(1)
    const adding = open({ isAdding: true })
    const found = await Promise.all([1, 2].map(async () => adding.identify(token)))
    expect(found[0]).toMatchObject({ kind: 'user', name: expect.stringMatching(/^oidc-[0-9a-f]{16}$/) })
    expect(users.byIdentity({ issuer: idp.issuer, subject: 'a stranger' })?.name).toBe(found[0]?.name)
    expect(users.list()).toHaveLength(2)
  })

  test('cannot choose to be another user by what its subject is called', async () => {
    const adding = open({ isAdding: true })
    const found = await adding.identify(await idp.issueToken('ann'))
    expect(found?.name).not.toBe('ann')
  })

  test('that is over, or meant for another, is refused', async () => {
    const identities = open()
    const token = await idp.issueToken('subject of ann', { lifetimeSeconds: 100 })
    expect(await identities.identify(token)).toMatchObject(ann)
    clock.aheadMs = 110_000
    expect(await identities.identify(token)).toBeUndefined()
    clock.aheadMs = 0
    const other = await idp.issueToken('subject of ann', { audience: 'https://other.example' })
    expect(await identities.identify(other)).toBeUndefined()
    // The same token passes where it is meant to.
    expect(await open({ audience: 'https://other.example' }).identify(other)).toMatchObject(ann)
  })

  test('that others have signed, or nobody, or with the public key as a secret, is refused', async () => {
    const identities = open()
    const claims = { sub: 'subject of ann' }
    const make = () =>
      new SignJWT(claims).setIssuer(idp.issuer).setAudience(audience).setIssuedAt().setExpirationTime('1h')
    const { privateKey } = await generateKeyPair('RS256')
    const header = { alg: 'RS256', kid: 'first' }
    const jwks = await (await fetch(`${idp.issuer}/jwks`)).text()
    const forged = [
      await make().setProtectedHeader(header).sign(privateKey),
      await make().setProtectedHeader({ alg: 'HS256', kid: 'first' }).sign(Buffer.from(jwks)),
      new UnsecuredJWT(claims).setIssuer(idp.issuer).setAudience(audience).setExpirationTime('1h').encode(),
    ]
    for (const token of forged) expect(await identities.identify(token)).toBeUndefined()
    const good = await idp.issueToken('subject of ann')
    const [head, , signature] = good.split('.')
    const [, body] = (await idp.issueToken('a stranger')).split('.')
    expect(await identities.identify(`${head}.${body}.${signature}`)).toBeUndefined()
    expect(await identities.identify(good)).toMatchObject(ann)
  })

  test('of another issuer, and keys of this server, are shown to nobody', async () => {
    const identities = open({ client })
    await using other = await startIdentityProvider()
    for (const token of [
      await other.issueToken('subject of ann'),
      `mhk_${'x'.repeat(43)}`,
      '',
      'short',
      'a b c d e f g',
    ])
      expect(await identities.identify(token)).toBeUndefined()
    expect([...idp.requests, ...other.requests]).toEqual([])
  })
})

describe('an opaque token', () => {
  test('is asked about with the name and secret of this server, once a minute at most', async () => {
    const identities = open({ client })
    const token = await idp.issueToken('subject of ann', { format: 'opaque' })
    expect(token.split('.')).toHaveLength(1)
    expect(await identities.identify(token)).toMatchObject(ann)
    await idp.revoke(token)
    expect(await identities.identify(token)).toMatchObject(ann)
    clock.aheadMs = 61_000
    expect(await identities.identify(token)).toBeUndefined()
    expect(idp.requests.filter((each) => each === 'POST /token/introspection')).toHaveLength(2)
  })

  test('for another audience, or that does not exist, is refused, which is remembered for a moment', async () => {
    const identities = open({ client })
    const other = await idp.issueToken('subject of ann', {
      format: 'opaque',
      audience: 'https://other.example',
    })
    expect(await identities.identify(other)).toBeUndefined()
    for (let count = 0; count < 5; count += 1)
      expect(await identities.identify('does-not-exist')).toBeUndefined()
    expect(idp.requests.filter((each) => each.startsWith('POST'))).toHaveLength(2)
  })

  test('is not asked about where this server has no name there', async () => {
    const token = await idp.issueToken('subject of ann', { format: 'opaque' })
    expect(await open().identify(token)).toBeUndefined()
    expect(idp.requests).toEqual([])
  })
})

describe('a provider', () => {
  test('that cannot be reached is told as such, asked again only after a pause, and used when it is back', async () => {
    let isDown = true
    let asked = 0
    const identities = open({
      fetch: async (input, init) => {
        asked += 1
        if (isDown) throw new TypeError('fetch failed')
        return fetch(input, init)
      },
    })
    const token = await idp.issueToken('subject of ann')
    for (let count = 0; count < 3; count += 1)
      await expect(identities.identify(token)).rejects.toMatchObject({
        code: 'server-busy',
        retryAfterSeconds: 10,
      })
    expect(asked).toBe(1)
    isDown = false
    clock.aheadMs = 6000
    expect(await identities.identify(token)).toMatchObject(ann)
  })

  test('that says to be another one is not believed', async () => {
    await using other = await startIdentityProvider()
    const identities = open({
      fetch: async (input, init) => fetch(new Request(input).url.replace(idp.issuer, other.issuer), init),
    })
    await expect(identities.identify(await idp.issueToken('subject of ann'))).rejects.toMatchObject({
      code: 'server-busy',
    })
  })

  test.each(['http://idp.example', 'idp.example', 'ftp://127.0.0.1', 'http://127.0.0.1.example'])(
    'at %s is refused at the start',
    (issuer) => {
      expect(() => open({ issuer })).toThrow('Expected an https address')
    },
  )
})
