import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { accountIdOf, authenticatorOf, openAccounts, type Accounts } from './accounts.ts'

const secret = Buffer.alloc(32, 7)
const passwordHash = 'ed9c81733a7b92cf726fec7426306b82'
let directory: string
let accounts: Accounts
let now: number

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-accounts-'))
  now = 1_700_000_000_000
  accounts = openAccounts(join(directory, 'project.db'), secret, () => now)
})
afterEach(async () => {
  accounts[Symbol.dispose]()
  await rm(directory, { recursive: true })
})

describe('a key of a volunteer', () => {
  it('names its account and nobody else can make it', () => {
    const ann = accounts.add('ann')
    const bob = accounts.add('bob')
    const key = accounts.authenticatorOf(ann)
    expect(key).toMatch(/^[\da-f]{32}$/)
    expect(accountIdOf(key, secret)).toBe(ann.id)
    expect(accountIdOf(key, Buffer.alloc(32, 8))).toBeUndefined()
    expect(
      accountIdOf(`${authenticatorOf(bob.id, secret).slice(0, 8)}${key.slice(8)}`, secret),
    ).toBeUndefined()
    for (const wrong of ['', 'x', key.toUpperCase().replace(/^/, ' '), `${key}0`, '0'.repeat(32)])
      expect(accountIdOf(wrong, secret)).toBeUndefined()
  })
})

describe('accounts', () => {
  it('are removed by their address where several have a name', async () => {
    for (const email of ['a@example.org', 'b@example.org'])
      await accounts.create({ name: 'Ann', email, passwordHash }, undefined)
    expect(() => accounts.remove('Ann')).toThrow('There are 2 volunteers "Ann".')
    accounts.remove('B@example.org')
    expect(accounts.list().map(({ email }) => email)).toEqual(['a@example.org'])
  })

  it('are added, listed and removed by the operator', () => {
    const ann = accounts.add('ann')
    expect(accounts.list()).toEqual([ann])
    expect(ann).toMatchObject({ name: 'ann', createdAt: now })
    expect(() => accounts.add('ann')).toThrow('There is a volunteer "ann" already.')
    accounts.remove('ann')
    expect(accounts.list()).toEqual([])
    expect(() => accounts.remove('ann')).toThrow('There is no volunteer "ann".')
    // A number that was somebody's is never another's: his key would be as well.
    expect(accounts.add('bob').id).toBeGreaterThan(ann.id)
  })

  it('are opened by address and password', async () => {
    const ann = await accounts.create({ name: 'Ann', email: 'Alice@example.org', passwordHash }, undefined)
    expect(ann).toMatchObject({ name: 'Ann', email: 'alice@example.org' })
    expect(await accounts.logIn('alice@EXAMPLE.org', passwordHash.toUpperCase())).toEqual(ann)
    await expect(accounts.logIn('alice@example.org', '0'.repeat(32))).rejects.toThrow(
      'The password is wrong.',
    )
    await expect(accounts.logIn('bob@example.org', passwordHash)).rejects.toThrow('There is no account')
    const again = accounts.create({ name: 'A', email: 'alice@example.org', passwordHash }, undefined)
    await expect(again).rejects.toThrow('already')
  })

  it('are refused with what cannot be right', async () => {
    const create = (changes: object) =>
      accounts.create({ name: 'Ann', email: 'ann@example.org', passwordHash, ...changes }, undefined)
    for (const changes of [
      { email: 'ann' },
      { email: 'a b@example.org' },
      { name: '' },
      { name: 'a\nb' },
      { name: 'x'.repeat(101) },
      { passwordHash: 'secret12' },
    ])
      await expect(create(changes), JSON.stringify(changes)).rejects.toMatchObject({
        code: 'parameter-invalid',
      })
    expect(accounts.list()).toEqual([])
  })

  it('are made with an invitation as often as it says, and while it lasts', async () => {
    const invitation = accounts.invite(1, now + 1000)
    const create = (email: string, given: string) =>
      accounts.create({ name: 'Ann', email, passwordHash }, given)
    await expect(create('a@example.org', 'guessed')).rejects.toMatchObject({ code: 'password-wrong' })
    await create('a@example.org', invitation)
    await expect(create('b@example.org', invitation)).rejects.toMatchObject({ code: 'password-wrong' })
    const late = accounts.invite(5, now + 1000)
    now += 1000
    await expect(create('b@example.org', late)).rejects.toMatchObject({ code: 'password-wrong' })
    expect(accounts.list()).toHaveLength(1)
  })

  it('tell what was done to them, by whom, until that was told', async () => {
    accounts.add('ann')
    const invitation = accounts.invite(1, now + 1000)
    accounts.join('bob', invitation, '192.0.2.1')
    accounts.remove('ann')
    await expect(accounts.create({ name: 'x', email: 'x@y', passwordHash }, 'guessed')).rejects.toThrow(
      'invitation',
    )
    const changes = accounts.changes(10)
    expect(changes.map(({ action, object, address }) => [action, object, address])).toEqual([
      ['volunteer-add', 'ann (1)', undefined],
      ['volunteer-invite', '1 until 2023-11-14T22:13:21.000Z', undefined],
      ['volunteer-add', 'bob (2)', '192.0.2.1'],
      ['volunteer-remove', 'ann (1)', undefined],
    ])
    accounts.told(changes[2]!)
    expect(accounts.changes(10)).toEqual(changes.slice(3))
  })
})
