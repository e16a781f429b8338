import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLogins } from './logins.ts'

let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'logins-'))
  path = join(directory, 'molehill', 'logins.json')
})
afterEach(() => rm(directory, { recursive: true }))

test('logins are kept in a file that only its owner may read', async () => {
  await (await openLogins(path)).save('https://hub:8443', { token: 'secret', expiresAt: 5 })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(join(directory, 'molehill'))).toEqual(['logins.json'])
  const logins = await openLogins(path)
  expect(logins.of('https://hub:8443')).toEqual({ token: 'secret', expiresAt: 5 })
  expect(logins.latest()).toBe('https://hub:8443')
  expect(logins.of('https://other')).toBeUndefined()
})

test('two commands that save at about the same time keep both', async () => {
  const [one, other] = [await openLogins(path), await openLogins(path)]
  await one.save('https://a', { token: '1' })
  await other.save('https://b', { token: '2' })
  const logins = await openLogins(path)
  expect(logins.of('https://a')).toEqual({ token: '1' })
  expect(logins.of('https://b')).toEqual({ token: '2' })
})

test('a file that cannot be understood is named, and not quoted', async () => {
  await (await openLogins(path)).save('https://a', { token: '1' })
  await writeFile(path, '{"version":1,"servers":{"https://a":{"token":secret}}}')
  const error = await openLogins(path).catch((error: unknown) => String(error))
  expect(error).toContain(path)
  expect(error).not.toContain('secret')
})
