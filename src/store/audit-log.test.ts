import { appendFile, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openAuditLog } from './audit-log.ts'
import { verifyAudit } from './verify-audit.ts'

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

const open = (maxBytes?: number) =>
  openAuditLog({
    path,
    ...(maxBytes !== undefined && { maxBytes }),
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
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 3, first: 1 })
})

test('an empty log is whole', async () => {
  await write()
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 0, first: 1 })
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
  expect(await verify(one, two, three, four)).toEqual({ kind: 'whole', lines: 4, first: 1 })
})

test('half a line, as a power cut leaves it, is no fault and is cut off at the next start', async () => {
  await write('one', 'two')
  await appendFile(path, '{"sequence":3,"ti')
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 2, first: 1 })
  await write('three')
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 3, first: 1 })
})

test('long texts are cut, and none breaks a line', async () => {
  await write(`a\nb${'x'.repeat(10_000)}`)
  expect(await lines()).toHaveLength(1)
  expect((await lines())[0]?.length).toBeLessThan(500)
})

test('thousands at once are all there, in order', async () => {
  await write(...Array.from({ length: 3000 }, (_, index) => `action ${index}`))
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 3000, first: 1 })
  expect(warnings).toEqual([])
})

/** Writes so many entries, one after the other, into logs that are full after a few. */
async function fillLogs(entries: number): Promise<void> {
  const log = await open(1000)
  for (let n = 0; n < entries; n += 1) {
    log.record({ action: `action ${n}`, outcome: 'ok' })
    await log.flushed()
  }
  await log.close()
}

const fullLogs = async () => (await readdir(directory)).filter((name) => name !== 'audit.log').sort()

test('a full log is set aside, and the chain goes on in the next one and in the next life', async () => {
  await fillLogs(20)
  await fillLogs(20)
  expect((await fullLogs()).length).toBeGreaterThan(3)
  expect((await fullLogs())[0]).toMatch(/^audit-0{11}\d\.log$/)
  for (const name of await fullLogs()) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600)
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 40, first: 1 })
})

test('full logs that were moved away are told; one in the middle that is missing is a fault', async () => {
  await fillLogs(40)
  const [oldest = '', second = ''] = await fullLogs()
  await rename(join(directory, oldest), join(directory, 'moved'))
  const first = Number(/\d+/.exec(oldest)?.[0]) + 1
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 41 - first, first })
  await rename(join(directory, 'moved'), join(directory, oldest))
  await rm(join(directory, second))
  expect(await verifyAudit(path)).toMatchObject({
    kind: 'broken',
    line: 1,
    reason: expect.stringContaining(`the log ${second} is missing`),
  })
})

test('a line that was cut off the end of a full log shows, and one off the beginning of the oldest', async () => {
  await fillLogs(20)
  const [oldest = ''] = await fullLogs()
  const whole = await readFile(join(directory, oldest), 'utf8')
  const kept = whole.trimEnd().split('\n')
  await writeFile(join(directory, oldest), `${kept.slice(0, -1).join('\n')}\n`)
  expect(await verifyAudit(path)).toMatchObject({ kind: 'broken', line: 1 })
  await writeFile(join(directory, oldest), `${kept.slice(1).join('\n')}\n`)
  expect(await verifyAudit(path)).toMatchObject({ kind: 'broken', file: join(directory, oldest), line: 1 })
})

test('a server that was killed while it set a log aside goes on after it', async () => {
  await fillLogs(5)
  await rename(path, join(directory, 'audit-000000000005.log'))
  await write('six')
  expect(JSON.parse((await lines())[0] ?? '')).toMatchObject({
    sequence: 6,
    continues: 'audit-000000000005.log',
  })
  expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 6, first: 1 })
})
