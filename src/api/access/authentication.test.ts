import { expect, test } from 'vitest'
import { Problem } from '../../problem.ts'
import type { User } from '../../users/contract.ts'
import { createAuthentication } from './authentication.ts'
import { createRequestLimiter } from './request-limiter.ts'

const ann: User = {
  name: 'ann',
  rights: { submitter: false, workflows: 'any' },
  quota: {},
  keys: [{ id: 'k1', hash: '', createdAt: 0 }],
  identities: [],
  createdAt: 0,
}

function start() {
  const users = new Map([['ann', ann]])
  const key = { id: 'k1', hash: '', createdAt: 0 }
  const authentication = createAuthentication({
    users: {
      byKey: (text) => (text === 'key' ? { user: ann, key } : undefined),
      find: (name) => users.get(name),
    },
    tokens: {
      async verify(token) {
        if (token === 'operator') return { id: 'o1', expiresAt: 0 }
        if (token?.startsWith('of ann for ') !== true) throw new Problem('token-invalid', 'no')
        return { id: 'a1', expiresAt: 0, holder: { name: 'ann', key: token.slice(11) } }
      },
    },
    wrongTries: createRequestLimiter({ perSecond: 1, burst: 3, elapsedMs: () => 0 }),
  })
  return { users, authentication }
}

const hers = { kind: 'user', name: 'ann', rights: ann.rights }

test('a key and a token for it are the user, another token is the operator', async () => {
  const { authentication } = start()
  expect(await authentication.identify('key')).toEqual({ ...hers, id: 'k1' })
  expect(await authentication.identify('of ann for k1')).toEqual({ ...hers, id: 'a1' })
  expect(await authentication.identify('operator')).toEqual({ kind: 'operator', id: 'o1' })
  for (const wrong of [undefined, '', 'other'])
    await expect(authentication.identify(wrong)).rejects.toMatchObject({ code: 'token-invalid' })
})

test('a token is void when its key or its user is gone, and the rights are those of now', async () => {
  const { authentication, users } = start()
  await expect(authentication.identify('of ann for k2')).rejects.toMatchObject({ code: 'token-invalid' })
  users.set('ann', { ...ann, rights: { submitter: true, workflows: 'catalog' } })
  expect(await authentication.identify('of ann for k1')).toMatchObject({ rights: { submitter: true } })
  users.set('ann', { ...ann, keys: [] })
  await expect(authentication.identify('of ann for k1')).rejects.toMatchObject({ code: 'token-invalid' })
  users.delete('ann')
  await expect(authentication.identify('of ann for k1')).rejects.toMatchObject({ code: 'token-invalid' })
})

test('who sends wrong keys has to wait, which keeps nobody out who has a right one', () => {
  const { authentication } = start()
  const told = Array.from({ length: 4 }, () => {
    try {
      authentication.byKey('wrong', '192.0.2.1')
      return ''
    } catch (error) {
      return error instanceof Problem ? error.code : String(error)
    }
  })
  expect(told).toEqual(['token-invalid', 'token-invalid', 'token-invalid', 'requests-throttled'])
  expect(authentication.byKey('key', '192.0.2.1')).toEqual({ ...hers, id: 'k1' })
  expect(() => authentication.byKey(undefined, '192.0.2.2')).toThrow('valid key')
})
