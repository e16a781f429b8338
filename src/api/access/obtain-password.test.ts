import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openPreferences, secretsIn } from '../../store/preferences.ts'
import { createSecrets } from '../../store/secrets.ts'
import { changePassword, obtainPassword, type PasswordSources } from './obtain-password.ts'
import { createPasswordHashing } from './password.ts'
import type { Prompt } from './prompt.ts'

const hashing = createPasswordHashing({ logN: 4, r: 8, p: 1 })
let directory: string
let passwordFile: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-obtain-'))
  passwordFile = join(directory, 'password')
  await writeFile(passwordFile, 'sesame\n', { mode: 0o600 })
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** What a start with these sources has to go by. Each call reads the preferences anew. */
async function start(given: Partial<PasswordSources> = {}): Promise<PasswordSources> {
  const path = join(directory, 'preferences.json')
  const preferences = await openPreferences(path, (file, data, mode) => writeFile(file, data, { mode }))
  return { preferences, hashing, passwordFile: undefined, prompt: undefined, ...given }
}

function typing(...answers: string[]): Prompt {
  return async () => answers.shift() ?? ''
}

const neverAsked: Prompt = () => Promise.reject(new Error('asked'))

test('the first start sets the password of the file without asking', async () => {
  const sources = await start({ passwordFile, prompt: neverAsked })
  expect(await obtainPassword(sources)).toMatchObject({ isNew: true })
  const kept = sources.preferences.current().password
  expect(kept?.version).toBe(1)
  expect(await hashing.verify('sesame', kept?.hash ?? '')).toBe(true)
})

test('later starts need no password, and take the file when it is the same', async () => {
  await obtainPassword(await start({ passwordFile }))
  expect(await obtainPassword(await start())).toEqual({ isNew: false, password: undefined })
  expect(await obtainPassword(await start({ passwordFile, prompt: neverAsked }))).toEqual({
    isNew: false,
    password: 'sesame',
  })
})

test('a file with another password is refused with the way to change it', async () => {
  await obtainPassword(await start({ passwordFile }))
  await writeFile(passwordFile, 'other')
  await expect(obtainPassword(await start({ passwordFile }))).rejects.toMatchObject({
    code: 'password-wrong',
    message: 'The password does not match the one of this data directory.',
    hint: expect.stringContaining('molehill password'),
  })
})

test('the first start asks twice on a terminal', async () => {
  const sources = await start({ prompt: typing('sesame', 'sesame') })
  expect(await obtainPassword(sources)).toMatchObject({ isNew: true })
  expect(await hashing.verify('sesame', sources.preferences.current().password?.hash ?? '')).toBe(true)
})

test('it asks again when the two differ or are empty, but not for ever', async () => {
  expect(await obtainPassword(await start({ prompt: typing('a', 'b', '', '', 'c', 'c') }))).toMatchObject({
    isNew: true,
  })
  await rm(join(directory, 'preferences.json'))
  const never = await start({ prompt: typing('a', 'b', 'c', 'd', 'e', 'f') })
  await expect(obtainPassword(never)).rejects.toMatchObject({ code: 'password-missing' })
  expect(never.preferences.current().password).toBeUndefined()
})

test('without file and terminal the first start ends with a clear error', async () => {
  await expect(obtainPassword(await start())).rejects.toMatchObject({
    code: 'password-missing',
    message: 'No password is set yet, and there is no terminal to ask for one.',
    hint: 'Write it into a file of mode 0600 and start with --password-file.',
  })
})

test('a change of the password counts its version up', async () => {
  const sources = await start({ passwordFile })
  await obtainPassword(sources)
  await changePassword(sources, 'other')
  const kept = (await start()).preferences.current().password
  expect(kept?.version).toBe(2)
  expect(await hashing.verify('other', kept?.hash ?? '')).toBe(true)
  expect(await hashing.verify('sesame', kept?.hash ?? '')).toBe(false)
})

test.each(['', 'x'.repeat(1025), 'a\0b'])('a password that cannot be one is refused', async (password) => {
  await expect(changePassword(await start(), password)).rejects.toMatchObject({ code: 'parameter-invalid' })
})

test('secrets go over to a new password, and without the old one nothing changes', async () => {
  const { preferences } = await start()
  await changePassword({ preferences, hashing }, 'sesame')
  await createSecrets(secretsIn(preferences), 'sesame').sealSecret('hub', 'a secret')
  await expect(changePassword({ preferences, hashing }, 'new')).rejects.toMatchObject({
    code: 'password-missing',
    hint: expect.stringContaining('--old-password-file'),
  })
  await expect(changePassword({ preferences, hashing }, 'new', async () => 'guess')).rejects.toMatchObject({
    code: 'password-wrong',
  })
  expect(preferences.current().password?.version).toBe(1)
  await changePassword({ preferences, hashing }, 'new', async () => 'sesame')
  const again = await start()
  expect(again.preferences.current().password?.version).toBe(2)
  expect(await createSecrets(secretsIn(again.preferences), 'new').openSecret('hub')).toBe('a secret')
})

test('who keeps no secrets is not asked for the old password', async () => {
  const { preferences } = await start()
  await changePassword({ preferences, hashing }, 'sesame')
  await changePassword({ preferences, hashing }, 'new', () => Promise.reject(new Error('asked')))
  expect(preferences.current().password?.version).toBe(2)
})

test('a start that finds secrets needs the password, and says so where nobody can be asked', async () => {
  await obtainPassword(await start({ passwordFile }))
  const { preferences } = await start()
  const secrets = createSecrets(secretsIn(preferences), 'sesame')
  await secrets.sealSecret('hub', 'a secret')
  await expect(obtainPassword(await start())).rejects.toMatchObject({
    code: 'password-missing',
    hint: expect.stringContaining('--password-file'),
  })
  expect(await obtainPassword(await start({ prompt: typing('sesame') }))).toMatchObject({
    password: 'sesame',
  })
  await expect(obtainPassword(await start({ prompt: typing('guess') }))).rejects.toMatchObject({
    code: 'password-wrong',
  })
  await secrets.removeSecrets(['hub'])
  expect(await obtainPassword(await start())).toMatchObject({ password: undefined })
})

test('where no secret is left a new password needs no old one, and later secrets go under the new one', async () => {
  const { preferences } = await start()
  await changePassword({ preferences, hashing }, 'sesame')
  const secrets = createSecrets(secretsIn(preferences), 'sesame')
  await secrets.sealSecret('hub', 'a secret')
  await secrets.removeSecrets(['hub'])
  await changePassword({ preferences, hashing }, 'new')
  expect(preferences.current().secrets).toBeUndefined()
  const later = createSecrets(secretsIn(preferences), 'new')
  await later.sealSecret('hub', 'another')
  expect(await later.openSecret('hub')).toBe('another')
})
