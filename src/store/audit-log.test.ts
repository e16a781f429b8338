import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openAuditLog, verifyAudit } from './audit-log.ts'

let directory: string
let path: string
const warnings: string[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-audit-'))
  path = join(directory, 'audit.log')
  warnings.length = 0
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const open = () =>
  openAuditLog({
    path,
    now: () => Date.UTC(2026, 0, 1),
    elapsedMs: () => 1234.5,
    warn: (message) => warnings.push(message),
  })

async function write(...actions: readonly string[]): Promise<void> {
  const log = await open()
  for (const action of actions) log.record({ action, outcome: 'ok' })
  await log.close()
}

const lines = async () => (await readFile(path, 'utf8')).split('\n').slice(0, -1)

test('a line tells who did what, by both clocks', async () => {
  const log = await open()
  log.record({
    action: 'cancel',
    outcome: 'ok',
    object: 'id',
    tokenId: 'jti',
    address: '::1',
    requestId: 'r',
  })
  await log.close()
  expect(JSON.parse((await lines())[0] ?? '')).toEqual({
    sequence: 1,
    time: '2026-01-01T00:00:00.000Z',
    elapsedMs: 1235,
    action: 'cancel',
    outcome: 'ok',
    object: 'id',
    tokenId: 'jti',
    address: '::1',
    requestId: 'r',
    previous: '0'.repeat(64),
  })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('a log that was written in several lives is whole', async () => {
  await write('one', 'two')
  await write()
  await write('three')
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 3 })
})

test('an empty log is whole', async () => {
  await write()
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 0 })
})

test('a changed line, a missing one and two that were swapped show', async () => {
  await write('one', 'two', 'three', 'four')
  const [one = '', two = '', three = '', four = ''] = await lines()
  const verify = async (...kept: readonly string[]) => {
    await writeFile(path, `${kept.join('\n')}\n`)
    return verifyAudit(path)
  }
  expect(await verify(one, two.replace('two', 'ten'), three, four)).toMatchObject({ kind: 'broken', line: 3 })
  expect(await verify(one, three, four)).toMatchObject({ kind: 'broken', line: 2 })
  expect(await verify(two, three, four)).toMatchObject({ kind: 'broken', line: 1 })
  expect(await verify(one, three, two, four)).toMatchObject({ kind: 'broken', line: 2 })
  expect(await verify(one, 'no JSON', three, four)).toMatchObject({ kind: 'broken', line: 2 })
  expect(await verify(one, two, three, four)).toEqual({ kind: 'whole', lines: 4 })
})

test('half a line, as a power cut leaves it, is no fault and is cut off at the next start', async () => {
  await write('one', 'two')
  await appendFile(path, '{"sequence":3,"ti')
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 2 })
  await write('three')
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 3 })
})

test('long texts are cut, and none breaks a line', async () => {
  await write(`a\nb${'x'.repeat(10_000)}`)
  expect(await lines()).toHaveLength(1)
  expect((await lines())[0]?.length).toBeLessThan(500)
})

test('thousands at once are all there, in order', async () => {
  await write(...Array.from({ length: 3000 }, (_, index) => `action ${index}`))
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 3000 })
  expect(warnings).toEqual([])
})
