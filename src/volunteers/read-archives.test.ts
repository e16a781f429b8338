import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fakeArchive } from '../../test/helpers/fake-volunteer.ts'
import { startArchiveReader, type ArchiveReader } from './read-archives.ts'

let directory: string
let reader: ArchiveReader

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-reading-'))
  reader = startArchiveReader()
})

afterEach(async () => {
  await reader.close()
  await rm(directory, { recursive: true })
})

async function put(name: string, content: Buffer): Promise<string> {
  await writeFile(join(directory, name), content)
  return join(directory, name)
}

test('reads archives again and again, in their order', async () => {
  const one = await put('one', fakeArchive('1'))
  const two = await put('two', fakeArchive('2'))
  const bad = await put('bad', Buffer.from('no archive'))
  const [first] = await reader.read([one])
  for (let time = 0; time < 5; time += 1) {
    const [second, broken, again] = await reader.read([two, bad, one])
    expect(again).toEqual(first)
    expect(second).toMatchObject({ kind: 'sound' })
    expect(second).not.toEqual(first)
    expect(broken).toMatchObject({ kind: 'broken' })
  }
})

test('says when a file cannot be read, and reads the next', async () => {
  const one = await put('one', fakeArchive('1'))
  await expect(reader.read([join(directory, 'gone')])).rejects.toThrow('ENOENT')
  expect(await reader.read([one])).toMatchObject([{ kind: 'sound' }])
})
