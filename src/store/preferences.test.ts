import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeFileDurably } from '../files/durable-file.ts'
import { openPreferences, type WriteDurably } from './preferences.ts'

let directory: string
let path: string
const write: WriteDurably = writeFileDurably

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-preferences-'))
  path = join(directory, 'preferences.json')
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const tokenKey = 'k'.repeat(43)

test('what was updated is there after the next opening', async () => {
  const preferences = await openPreferences(path, write)
  expect(preferences.current()).toEqual({ version: 1 })
  await preferences.update((current) => ({ ...current, tokenKey }))
  await preferences.update((current) => ({ ...current, password: { hash: 'h', version: 1 } }))
  const again = await openPreferences(path, write)
  expect(again.current()).toEqual({ version: 1, tokenKey, password: { hash: 'h', version: 1 } })
  expect(again.current()).toEqual(preferences.current())
})

test('opening alone writes nothing', async () => {
  await openPreferences(path, () => Promise.reject(new Error('a write')))
  await expect(readFile(path)).rejects.toThrow('ENOENT')
})

test('the file is for its owner only', async () => {
  const modes: number[] = []
  const preferences = await openPreferences(path, async (_path, _data, mode) => void modes.push(mode))
  await preferences.update((current) => ({ ...current, tokenKey }))
  expect(modes).toEqual([0o600])
})

test('members of a later time are kept', async () => {
  await writeFile(path, JSON.stringify({ version: 1, dashboards: [{ name: 'ada' }] }))
  const preferences = await openPreferences(path, write)
  await preferences.update((current) => ({ ...current, tokenKey }))
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
    version: 1,
    dashboards: [{ name: 'ada' }],
    tokenKey,
  })
})

test('concurrent updates all land, one after the other', async () => {
  const preferences = await openPreferences(path, write)
  await preferences.update((current) => ({ ...current, password: { hash: 'h', version: 1 } }))
  const countUp = () =>
    preferences.update((current) => ({
      ...current,
      password: { hash: 'h', version: (current.password?.version ?? 0) + 1 },
    }))
  await Promise.all(Array.from({ length: 50 }, countUp))
  expect((await openPreferences(path, write)).current().password?.version).toBe(51)
})

test('a write that fails changes nothing, and the next one counts again', async () => {
  let isFull = true
  const preferences = await openPreferences(path, async (...file) => {
    if (isFull) throw new Error('disk full')
    await write(...file)
  })
  await expect(preferences.update((current) => ({ ...current, tokenKey }))).rejects.toThrow('disk full')
  expect(preferences.current()).toEqual({ version: 1 })
  isFull = false
  await preferences.update((current) => ({ ...current, password: { hash: 'h', version: 1 } }))
  expect((await openPreferences(path, write)).current()).toEqual({
    version: 1,
    password: { hash: 'h', version: 1 },
  })
})

test('a change that makes no sense is refused before anything is written', async () => {
  const preferences = await openPreferences(path, write)
  await expect(preferences.update((current) => ({ ...current, tokenKey: 'short' }))).rejects.toThrow(
    'tokenKey',
  )
  expect(preferences.current()).toEqual({ version: 1 })
  await expect(readFile(path)).rejects.toThrow('ENOENT')
})

test.each([
  ['', 'are broken: it is empty'],
  ['{ "version": 1, "tokenKey": "sesame', 'are broken: it is not JSON'],
  ['[]', 'are broken: wrong is the whole'],
  ['{ "version": 1, "tokenKey": "sesame" }', 'are broken: wrong is tokenKey'],
  ['{ "version": 1, "password": { "hash": "sesame" } }', 'are broken: wrong is password.version'],
  ['{ "version": 2 }', 'have version 2; this Molehill reads version 1'],
])('the file %s is refused, not overwritten, and not quoted', async (content, reason) => {
  await writeFile(path, content)
  const error: unknown = await openPreferences(path, write).catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'configuration-invalid' })
  expect(String(error)).toContain(reason)
  expect(String(error)).not.toContain('sesame')
  expect(await readFile(path, 'utf8')).toBe(content)
})
