import { expect, test } from 'vitest'
import { createPasswordHashing } from './password.ts'

const cheap = { logN: 4, r: 8, p: 1 }

test('a password matches its hash and no other does', async () => {
  const hashing = createPasswordHashing(cheap)
  const kept = await hashing.hash('sesame')
  expect(kept).toMatch(/^\$scrypt\$ln=4,r=8,p=1\$/)
  expect(kept).not.toContain('sesame')
  expect(await hashing.verify('sesame', kept)).toBe(true)
  for (const other of ['', 'Sesame', 'sesame ', 'sesam', 'sesame\0', 'sesame'.repeat(1000)])
    expect(await hashing.verify(other, kept)).toBe(false)
})

test('the usual cost is the one that OWASP asks for', async () => {
  const hashing = createPasswordHashing()
  const kept = await hashing.hash('sesame')
  expect(kept).toContain('$ln=15,r=8,p=3$')
  expect(await hashing.verify('sesame', kept)).toBe(true)
})

test('the same password never has the same hash twice', async () => {
  const hashing = createPasswordHashing(cheap)
  expect(await hashing.hash('sesame')).not.toBe(await hashing.hash('sesame'))
})

test('a hash of another cost still verifies', async () => {
  const kept = await createPasswordHashing({ logN: 5, r: 4, p: 2 }).hash('sesame')
  expect(await createPasswordHashing(cheap).verify('sesame', kept)).toBe(true)
})

test('composed and decomposed letters are the same password', async () => {
  const hashing = createPasswordHashing(cheap)
  expect(await hashing.verify('cafe\u0301', await hashing.hash('caf\u00E9'))).toBe(true)
})

test.each(['', 'sesame', '$scrypt$ln=99,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$', '$2b$10$abcdefghijklmnopqrstuv'])(
  'the kept text "%s" is refused as no hash',
  async (kept) => {
    await expect(createPasswordHashing(cheap).verify('sesame', kept)).rejects.toThrow('in no form')
  },
)

test('two derivations run at once, fifty wait, and the next is told to come later', async () => {
  const hashing = createPasswordHashing(cheap)
  const kept = await hashing.hash('sesame')
  let running = 0
  let most = 0
  const admit = () => {
    running += 1
    most = Math.max(most, running)
  }
  const checks = Array.from({ length: 53 }, () =>
    hashing.verify('sesame', kept, admit).finally(() => {
      running -= 1
    }),
  )
  const results = await Promise.allSettled(checks)
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(52)
  expect(results[52]).toMatchObject({ reason: { code: 'server-busy', retryAfterSeconds: 5 } })
  // One more may be admitted before the check that made room has told us of its end.
  expect(most).toBeLessThanOrEqual(4)
  expect(await hashing.verify('sesame', kept)).toBe(true)
})

test('a check that is not admitted gives its place back', async () => {
  const hashing = createPasswordHashing(cheap)
  const kept = await hashing.hash('sesame')
  const refuse = () => {
    throw new Error('not now')
  }
  for (let round = 0; round < 5; round += 1)
    await expect(hashing.verify('sesame', kept, refuse)).rejects.toThrow('not now')
  expect(await hashing.verify('sesame', kept)).toBe(true)
})
