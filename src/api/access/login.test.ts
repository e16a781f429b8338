import { expect, test } from 'vitest'
import type { PreferencesData } from '../../store/preferences.ts'
import type { KnownUser } from '../../users/contract.ts'
import { createLogin } from './login.ts'
import { createPasswordHashing } from './password.ts'
import { createThrottle } from './throttle.ts'

const ann: KnownUser = {
  user: {
    name: 'ann',
    rights: { submitter: true, workflows: 'any' },
    quota: {},
    keys: [],
    identities: [],
    createdAt: 0,
  },
  key: { id: 'k1', hash: '', createdAt: 0 },
}

async function start() {
  const clock = { ms: 0 }
  const hashing = createPasswordHashing({ logN: 4, r: 8, p: 1 })
  const data: PreferencesData = { version: 1, password: { hash: await hashing.hash('sesame'), version: 1 } }
  let derivations = 0
  const known: string[] = []
  const counting = {
    ...hashing,
    verify: (password: string, kept: string, admit: () => void = () => undefined) =>
      hashing.verify(password, kept, () => {
        admit()
        derivations += 1
      }),
  }
  const login = createLogin({
    preferences: { current: () => data, update: () => Promise.reject(new Error('an update')) },
    users: { byKey: (key) => (key === 'the key of ann' ? ann : undefined) },
    hashing: counting,
    throttle: createThrottle(() => clock.ms),
    tokens: {
      issue: async (holder) => ({
        token: holder === undefined ? 'a token' : `a token of ${holder.name} for ${holder.key}`,
        id: 'an id',
        durationMs: 5,
      }),
      verify: () => Promise.reject(new Error('a check')),
    },
    passwordGiven: (password) => known.push(password),
  })
  return { clock, login, known, derivations: () => derivations }
}

test('the right password gives a token', async () => {
  const { login } = await start()
  expect(await login('sesame', 'a')).toEqual({
    token: 'a token',
    id: 'an id',
    durationMs: 5,
    principal: { kind: 'operator', id: 'an id' },
  })
})

test('only the right password is told to who waits for it', async () => {
  const { login, known } = await start()
  await expect(login('guess', 'a')).rejects.toMatchObject({ code: 'password-wrong' })
  await login('sesame', 'a')
  expect(known).toEqual(['sesame'])
})

test('missing and wrong passwords are told apart, in the words that clients know', async () => {
  const { login } = await start()
  await expect(login(undefined, 'a')).rejects.toMatchObject({
    code: 'password-missing',
    message: 'No password sent with request',
  })
  for (const wrong of ['', 'Sesame', 'x'.repeat(5000)])
    await expect(login(wrong, 'a')).rejects.toMatchObject({
      code: 'password-wrong',
      message: 'Server password is incorrect',
    })
})

test('five wrong ones in a minute close the door even to the right one', async () => {
  const { login, clock } = await start()
  for (let n = 0; n < 5; n += 1)
    await expect(login('wrong', 'a')).rejects.toMatchObject({ code: 'password-wrong' })
  await expect(login('sesame', 'a')).rejects.toMatchObject({
    code: 'password-throttled',
    retryAfterSeconds: 60,
  })
  await expect(login('sesame', 'b')).resolves.toBeDefined()
  clock.ms += 60_000
  await expect(login('sesame', 'a')).resolves.toBeDefined()
})

test('guesses sent all at once get no further than guesses sent in turn', async () => {
  const { login, derivations } = await start()
  const guesses = Array.from({ length: 50 }, () => login('wrong', 'a'))
  const reasons = (await Promise.allSettled(guesses)).map((result) =>
    result.status === 'rejected' ? String(result.reason) : 'let in',
  )
  expect(reasons.filter((reason) => reason.includes('incorrect'))).toHaveLength(5)
  expect(reasons.filter((reason) => reason.includes('Too many'))).toHaveLength(45)
  expect(derivations()).toBe(5)
})

test('many right passwords at once are all let in', async () => {
  const { login } = await start()
  const logins = await Promise.all(Array.from({ length: 50 }, () => login('sesame', 'a')))
  expect(logins).toHaveLength(50)
})

test('a key in place of the password gives its user a token, also while passwords are guessed', async () => {
  const { login, known, derivations } = await start()
  for (let tries = 0; tries < 7; tries += 1) await login('wrong', 'a').catch(() => undefined)
  await expect(login('sesame', 'a')).rejects.toMatchObject({ code: 'password-throttled' })
  const before = derivations()
  expect(await login('the key of ann', 'a')).toEqual({
    token: 'a token of ann for k1',
    id: 'an id',
    durationMs: 5,
    principal: { kind: 'user', id: 'an id', name: 'ann', rights: ann.user.rights },
  })
  expect([known, derivations()]).toEqual([[], before])
})
