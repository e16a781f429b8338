import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeFileDurably } from '../files/durable-file.ts'
import { openPreferences } from '../store/preferences.ts'
import type { Users } from './contract.ts'
import { createUsers } from './users.ts'

let directory: string
let users: Users
const file = () => join(directory, 'preferences.json')
const open = async () => createUsers(await openPreferences(file(), writeFileDurably), () => 1000)
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-users-'))
  users = await open()
})
afterEach(() => rm(directory, { recursive: true, force: true }))

test('a user begins with no rights, no limits and no keys, and is there after a restart', async () => {
  const added = await users.add('ann')
  expect(added).toEqual({
    name: 'ann',
    rights: { submitter: false, workflows: 'catalog' },
    quota: {},
    keys: [],
    identities: [],
    createdAt: 1000,
  })
  await users.add('adam')
  expect((await open()).list().map(({ name }) => name)).toEqual(['adam', 'ann'])
})

test('a key is told once: the file holds its hash only', async () => {
  await users.add('ann')
  const { id, key } = await users.addKey('ann')
  expect(key).toMatch(/^mhk_[\w-]{43}$/)
  expect(await readFile(file(), 'utf8')).not.toContain(key.slice(4))
  for (const each of [users, await open()])
    expect(each.byKey(key)).toMatchObject({ user: { name: 'ann' }, key: { id } })
  for (const wrong of ['', key.slice(0, -1), `${key} `, key.toUpperCase()])
    expect(users.byKey(wrong)).toBeUndefined()
})

test('each key is its own, and none is good any more when it or the user is removed', async () => {
  await users.add('ann')
  const [first, second] = [await users.addKey('ann'), await users.addKey('ann')]
  expect(first.key).not.toBe(second.key)
  await users.removeKey('ann', first.id)
  expect(users.byKey(first.key)).toBeUndefined()
  expect(users.byKey(second.key)?.key.id).toBe(second.id)
  await expect(users.removeKey('ann', first.id)).rejects.toMatchObject({ code: 'key-unknown' })
  await users.remove('ann')
  expect(users.byKey(second.key)).toBeUndefined()
  await expect(users.addKey('ann')).rejects.toMatchObject({ code: 'user-unknown' })
})

test('a user has at most twenty keys', async () => {
  await users.add('ann')
  for (let count = 0; count < 20; count += 1) await users.addKey('ann')
  await expect(users.addKey('ann')).rejects.toMatchObject({
    code: 'user-conflict',
    hint: expect.stringContaining('--remove'),
  })
})

test('what is not given stays, and null takes a limit away', async () => {
  await users.add('ann', { submitter: true, quota: { storedBytes: 10, runningJobs: 0 } })
  expect(users.find('ann')).toMatchObject({ quota: { storedBytes: 10, runningJobs: 0 } })
  await users.change('ann', { workflows: 'any', quota: { storedBytes: null, queuedJobs: 7 } })
  expect(users.find('ann')).toMatchObject({ rights: { submitter: true, workflows: 'any' } })
  expect(users.find('ann')?.quota).toEqual({ runningJobs: 0, queuedJobs: 7 })
  await expect(users.change('bob', {})).rejects.toMatchObject({ code: 'user-unknown' })
})

test('an identity is one issuer and one subject together, and one user', async () => {
  await users.add('ann', { identity: { issuer: 'https://one', subject: '7' } })
  await users.add('bob', { identity: { issuer: 'https://two', subject: '7' } })
  expect(users.byIdentity({ issuer: 'https://one', subject: '7' })?.name).toBe('ann')
  expect(users.byIdentity({ issuer: 'https://two', subject: '7' })?.name).toBe('bob')
  expect(users.byIdentity({ issuer: 'https://one', subject: '8' })).toBeUndefined()
  await expect(
    users.change('bob', { identity: { issuer: 'https://one', subject: '7' } }),
  ).rejects.toMatchObject({ code: 'user-conflict', message: "That identity is ann's already." })
  await users.change('ann', { identity: { issuer: 'https://one', subject: '7' } })
  expect(users.find('ann')?.identities).toHaveLength(1)
})

test('two cannot take one name, also at the same time', async () => {
  const results = await Promise.allSettled([users.add('ann'), users.add('ann')])
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  await expect(users.remove('bob')).rejects.toMatchObject({ code: 'user-unknown' })
})

test.each(['', 'Ann', '../ann', 'a b', '1ann', '.ann', 'a/b', 'ann\n', `a${'n'.repeat(63)}`])(
  'nobody is named %j',
  async (name) => {
    await expect(users.add(name)).rejects.toMatchObject({ code: 'parameter-invalid' })
  },
)

test('names of what every object has are names like others', async () => {
  expect(users.find('constructor')).toBeUndefined()
  await users.add('constructor')
  expect(users.find('constructor')?.keys).toEqual([])
})
