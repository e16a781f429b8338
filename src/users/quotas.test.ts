import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createFakeExecutions, type FakeExecutions } from '../../test/helpers/fake-executions.ts'
import type { Executions } from '../engine/contract.ts'
import type { User, UserQuota } from './contract.ts'
import { createQuotas, type Quotas } from './quotas.ts'

let directory: string
let all: FakeExecutions
let users: Map<string, User>
let others: number
let quotas: Quotas
let executions: Executions

const setQuota = (quota: UserQuota, name = 'ann') =>
  users.set(name, {
    name,
    rights: { submitter: false, workflows: 'catalog' },
    quota,
    keys: [],
    identities: [],
    createdAt: 0,
  })

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-quotas-'))
  all = createFakeExecutions(join(directory, 'executions'))
  users = new Map()
  others = 0
  setQuota({})
  setQuota({}, 'bob')
  quotas = createQuotas({
    users: { find: (name) => users.get(name) },
    executions: all,
    defaults: {},
    otherBytes: async () => others,
  })
  executions = quotas.limit(all)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const { signal } = new AbortController()
const start = (bytes: number, owner = 'ann', whenFilled: () => Promise<void> = async () => undefined) =>
  executions.start({
    script: 'flow.ts',
    signal,
    owner,
    async fill(workDirectory) {
      await writeFile(join(workDirectory, 'flow.ts'), 'export default 1'.padEnd(bytes))
      await whenFilled()
    },
  })

test('a start that would bring too many bytes is refused, and leaves nothing', async () => {
  setQuota({ storedBytes: 100_000 })
  await start(40_000)
  await expect(start(70_000)).rejects.toMatchObject({
    code: 'quota-exceeded',
    message: expect.stringMatching(/^ann may keep 0\.1 MiB, and has 0\.1 MiB/),
  })
  expect(await readdir(join(directory, 'executions'))).toHaveLength(1)
  await start(40_000)
  await start(70_000, 'bob')
  await start(70_000, '')
})

test('two that are started at the same time do not both get the last room', async () => {
  setQuota({ storedBytes: 100_000 })
  const both = Promise.withResolvers<void>()
  let filled = 0
  const meet = async () => {
    filled += 1
    if (filled === 2) both.resolve()
    await both.promise
  }
  const results = await Promise.allSettled([start(60_000, 'ann', meet), start(60_000, 'ann', meet)])
  expect(results.filter(({ status }) => status === 'rejected').length).toBeGreaterThanOrEqual(1)
  expect(await quotas.storedBytes('ann')).toBeLessThan(100_000)
})

test('what dialects keep of a user counts as well', async () => {
  setQuota({ storedBytes: 100_000 })
  others = 90_000
  expect(await quotas.uploadRoom('ann')).toMatchObject({ bytes: 10_000 })
  const stored = async () => 'stored'
  await expect(quotas.keep('ann', 10_001, stored)).rejects.toMatchObject({ code: 'quota-exceeded' })
  expect(await quotas.keep('ann', 10_000, stored)).toBe('stored')
  others = 100_000
  await expect(quotas.uploadRoom('ann')).rejects.toMatchObject({ code: 'quota-exceeded' })
  await expect(start(1)).rejects.toMatchObject({ code: 'quota-exceeded' })
  expect(await quotas.uploadRoom('bob')).toBeUndefined()
})

test('what is stored by many at once gets the room once, the first one first', async () => {
  setQuota({ storedBytes: 100_000 })
  const store = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    others += 40_000
  }
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => quotas.keep('ann', 40_000, store)),
  )
  expect(results.map(({ status }) => status).slice(0, 2)).toEqual(['fulfilled', 'fulfilled'])
  expect(others).toBe(80_000)
  await expect(quotas.keep('ann', 20_001, store)).rejects.toMatchObject({ code: 'quota-exceeded' })
  await quotas.keep('ann', 20_000, store)
  await quotas.keep('', 40_000, store)
})

test('what is stored while an execution is started counts with it', async () => {
  setQuota({ storedBytes: 100_000 })
  const filled = Promise.withResolvers<void>()
  const stored = Promise.withResolvers<void>()
  const starting = start(60_000, 'ann', async () => {
    filled.resolve()
    await stored.promise
  })
  await filled.promise
  const keeping = quotas.keep('ann', 60_000, async () => {
    stored.resolve()
    await starting.catch(() => undefined)
    others = 60_000
  })
  await expect(starting).rejects.toMatchObject({ code: 'quota-exceeded' })
  await keeping
})

test('nothing more is stored of a user who is gone', async () => {
  users.delete('ann')
  await expect(quotas.keep('ann', 1, async () => undefined)).rejects.toMatchObject({ code: 'token-invalid' })
})

test('nothing is started while too many jobs wait, those of others not counted', async () => {
  setQuota({ queuedJobs: 3 })
  const id = await start(1)
  const wait = (execution: string, ready: number) => {
    const found = all.all.get(execution)
    if (found !== undefined) found.state = { ...found.state, counts: { ...found.state.counts, ready } }
  }
  wait(await start(1, 'bob'), 100)
  wait(id, 2)
  await start(1)
  wait(id, 3)
  await expect(start(1)).rejects.toMatchObject({
    code: 'quota-exceeded',
    message: 'ann may have 3 jobs waiting when more are started, and has 3.',
    retryAfterSeconds: 30,
  })
  await all.cancel(id)
  await start(1)
})

test('the limits of the server hold where a user has none', async () => {
  quotas = createQuotas({
    users: { find: (name) => users.get(name) },
    executions: all,
    defaults: { storedBytes: 10, runningJobs: 4 },
    otherBytes: async () => 0,
  })
  setQuota({ storedBytes: 20 })
  expect(quotas.of('ann')).toEqual({ storedBytes: 20, runningJobs: 4 })
  expect(quotas.of('bob')).toEqual({ storedBytes: 10, runningJobs: 4 })
  expect(quotas.of('')).toEqual({})
})

test('nothing is left of what a user starts while he is removed', async () => {
  await expect(
    start(1, 'ann', async () => {
      users.delete('ann')
    }),
  ).rejects.toMatchObject({ code: 'token-invalid' })
  expect(all.list()).toEqual([])
  await expect(start(1)).rejects.toMatchObject({ code: 'token-invalid' })
})

test('what a user starts while he is removed is not that of another one of his name', async () => {
  await expect(
    start(1, 'ann', async () => {
      setQuota({})
      const another = users.get('ann')
      if (another !== undefined) users.set('ann', { ...another, createdAt: 1 })
    }),
  ).rejects.toMatchObject({ code: 'token-invalid' })
  expect(all.list()).toEqual([])
})
