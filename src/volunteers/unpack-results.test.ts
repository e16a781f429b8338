import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fakeArchive } from '../../test/helpers/fake-volunteer.ts'
import { tarMember } from '../../test/helpers/tar.ts'
import { startResultUnpacker, type ResultUnpacker } from './unpack-results.ts'

let directory: string
let unpacker: ResultUnpacker

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-unpacking-'))
  unpacker = startResultUnpacker()
})

afterEach(async () => {
  await unpacker.close()
  await rm(directory, { recursive: true })
})

async function put(name: string, content: Buffer): Promise<string> {
  await writeFile(join(directory, name), content)
  return join(directory, name)
}

const archiveOf = (...members: readonly Parameters<typeof tarMember>[0][]): Buffer =>
  gzipSync(Buffer.concat([...members.map((member) => tarMember(member)), Buffer.alloc(1024)]))

test('unpacks many small results at once', async () => {
  const targets = Array.from({ length: 20 }, (_, at) => join(directory, `target${at}`))
  await Promise.all(
    targets.map(async (target, at) =>
      unpacker.unpack(await put(`archive${at}`, fakeArchive(`${at}`)), target),
    ),
  )
  for (const [at, target] of targets.entries())
    expect(readFileSync(join(target, 'jobs/1/stdout'), 'utf8')).toBe(`${at}`)
})

test('refuses what is bad as a whole, leaves nothing of it, and unpacks the next', async () => {
  const record = { name: 'record', content: 'x' }
  const bad = {
    'is no archive': Buffer.from('no archive'),
    'leads up': archiveOf(record, { name: '../up', content: 'x' }),
    'leads out': archiveOf(record, { name: 'way', type: '2', target: '/etc' }),
    'is cut short': fakeArchive('x').subarray(0, 60),
  }
  for (const [what, content] of Object.entries(bad)) {
    const path = await put('bad', content)
    const target = join(directory, 'target')
    await expect(unpacker.unpack(path, target), what).rejects.toMatchObject({
      code: expect.stringMatching(/^archive-(?:invalid|unsafe)$/) as string,
    })
    await rm(path)
    expect(readdirSync(directory), what).toEqual([])
  }
  const good = join(directory, 'good')
  await unpacker.unpack(await put('archive', fakeArchive('good')), good)
  expect(existsSync(join(good, 'record'))).toBe(true)
})

test('gives what is large, packed or unpacked, to a process of its own', { timeout: 120_000 }, async () => {
  const random = randomBytes(1.5e6)
  const zeros = Buffer.alloc(40e6)
  for (const [name, content] of Object.entries({ random, zeros })) {
    const target = join(directory, `target-${name}`)
    await unpacker.unpack(await put(name, archiveOf({ name: 'record', content })), target)
    expect(readFileSync(join(target, 'record')).equals(content), name).toBe(true)
  }
})

test('unpacks nothing more when it is closed', async () => {
  const path = await put('archive', fakeArchive('1'))
  const before = unpacker.unpack(path, join(directory, 'before')).catch((error: unknown) => error as Error)
  await unpacker.close()
  await expect(unpacker.unpack(path, join(directory, 'after'))).rejects.toThrow('closed')
  // It had just ended, or was ended.
  const error = await before
  if (error !== undefined) expect(error.message).toContain('closed')
})
