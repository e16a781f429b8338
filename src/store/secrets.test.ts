import { expect, test } from 'vitest'
import { createSecrets, rewrapSecrets, type KeptSecrets } from './secrets.ts'

function place(kept?: KeptSecrets) {
  const state = { kept }
  return {
    state,
    current: () => state.kept,
    update: async (change: (current: KeptSecrets | undefined) => KeptSecrets) =>
      void (state.kept = change(state.kept)),
  }
}

async function keep(secrets: Readonly<Record<string, string>>) {
  const kept = place()
  const opened = createSecrets(kept, 'sesame')
  for (const [name, text] of Object.entries(secrets)) await opened.sealSecret(name, text)
  if (kept.state.kept === undefined) throw new Error('nothing was kept')
  return kept.state.kept
}

const secret = 'correct horse battery staple'

test('a secret comes back, and another one under its name after that', async () => {
  const kept = place(await keep({ 'ssh hub': secret }))
  expect(await createSecrets(kept, 'sesame').openSecret('ssh hub')).toBe(secret)
  await createSecrets(kept, 'sesame').sealSecret('ssh hub', 'ünïcode')
  expect(await createSecrets(kept, 'sesame').openSecret('ssh hub')).toBe('ünïcode')
  expect(kept.state.kept?.entries['ssh hub']?.version).toBe(2)
})

test('nothing of a secret can be read in what is kept', async () => {
  const text = JSON.stringify(await keep({ name: secret }))
  for (const encoding of ['utf8', 'base64', 'base64url', 'hex'] as const)
    expect(text).not.toContain(Buffer.from(secret).toString(encoding))
  expect(text).not.toContain('sesame')
})

test('the same secret looks different each time', async () => {
  const { entries } = await keep({ one: secret, two: secret })
  expect(entries['one']?.sealed).not.toBe(entries['two']?.sealed)
})

test('another password opens nothing', async () => {
  const kept = place(await keep({ name: secret }))
  await expect(createSecrets(kept, 'Sesame').openSecret('name')).rejects.toMatchObject({
    code: 'password-wrong',
  })
})

test('without the password secrets are locked', async () => {
  const kept = place(await keep({ name: secret }))
  await expect(createSecrets(kept, undefined).openSecret('name')).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: 'The secrets of this data directory are locked.',
  })
})

test('any flipped bit is refused', async () => {
  const kept = await keep({ name: secret })
  const { version, sealed } = kept.entries['name'] ?? { version: 1, sealed: '' }
  const state = place(kept)
  // One opening: the derivation is what takes the time.
  const opened = createSecrets(state, 'sesame')
  expect(await opened.openSecret('name')).toBe(secret)
  const bytes = Buffer.from(sealed, 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    state.state.kept = {
      ...kept,
      entries: { name: { version, sealed: flipped.toString('base64url') } },
    }
    await expect(opened.openSecret('name'), `bit ${bit}`).rejects.toMatchObject({
      code: 'configuration-invalid',
    })
  }
})

test('a flipped bit in the data key or the salt is refused', async () => {
  const kept = await keep({ name: secret })
  for (const member of ['salt', 'dataKey'] as const) {
    const bytes = Buffer.from(kept[member], 'base64url')
    bytes[3] = (bytes[3] ?? 0) ^ 1
    const changed = { ...kept, [member]: bytes.toString('base64url') }
    await expect(createSecrets(place(changed), 'sesame').openSecret('name')).rejects.toMatchObject({
      code: 'password-wrong',
    })
  }
})

test('two secrets that were swapped are refused, and so is another version', async () => {
  const kept = await keep({ one: 'first', two: 'second' })
  const { one, two } = kept.entries
  if (one === undefined || two === undefined) throw new Error('not kept')
  const swapped = createSecrets(place({ ...kept, entries: { one: two, two: one } }), 'sesame')
  await expect(swapped.openSecret('one')).rejects.toMatchObject({ code: 'configuration-invalid' })
  const renumbered = createSecrets(place({ ...kept, entries: { one: { ...one, version: 2 } } }), 'sesame')
  await expect(renumbered.openSecret('one')).rejects.toMatchObject({ code: 'configuration-invalid' })
})

test('a new password takes the secrets along, and the old one opens them no more', async () => {
  const kept = await keep({ name: secret })
  const rewrapped = place(await rewrapSecrets(kept, 'sesame', 'open'))
  expect(await createSecrets(rewrapped, 'open').openSecret('name')).toBe(secret)
  await expect(createSecrets(rewrapped, 'sesame').openSecret('name')).rejects.toMatchObject({
    code: 'password-wrong',
  })
  await expect(rewrapSecrets(kept, 'wrong', 'open')).rejects.toMatchObject({ code: 'password-wrong' })
})

test.each(['absent', '__proto__', 'toString'])('there is no secret %s', async (name) => {
  const kept = place(await keep({ name: secret }))
  await expect(createSecrets(kept, 'sesame').openSecret(name)).rejects.toMatchObject({
    code: 'configuration-invalid',
  })
})

test('a password that comes later opens them, and is needed once', async () => {
  const kept = place(await keep({ name: secret }))
  const secrets = createSecrets(kept, undefined)
  expect(secrets.isLocked).toBe(true)
  secrets.unlock('wrong')
  await expect(secrets.checkPassword()).rejects.toMatchObject({ code: 'password-wrong' })
  secrets.unlock('sesame')
  await secrets.checkPassword()
  secrets.unlock('wrong')
  expect(await secrets.openSecret('name')).toBe(secret)
  expect(secrets.isLocked).toBe(false)
})

test('a removed secret is gone, the others stay, and nothing is written when there is none', async () => {
  const kept = place(await keep({ one: 'first', two: 'second' }))
  const secrets = createSecrets(kept, 'sesame')
  await secrets.removeSecrets(['one', 'three'])
  expect(Object.keys(kept.state.kept?.entries ?? {})).toEqual(['two'])
  const before = kept.state.kept
  await secrets.removeSecrets(['one', '__proto__'])
  expect(kept.state.kept).toBe(before)
  expect(await secrets.openSecret('two')).toBe('second')
})
