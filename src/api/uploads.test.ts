import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { tarGzip } from '../../test/helpers/tar.ts'
import { defaultArchiveLimits } from '../files/archive-limits.ts'
import { Problem } from '../problem.ts'
import { openUploads } from './uploads.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-uploads-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const limits = { ...defaultArchiveLimits, uploadBytes: 2 ** 20 }
const archive = () => Readable.from([tarGzip([{ name: 'a.txt', content: 'a' }])])

test('a sweep deletes what nobody owns, and leaves uploads under way', async () => {
  const uploads = await openUploads(directory, limits)
  const upload = await uploads.receive(archive(), AbortSignal.timeout(20_000))
  expect(uploads.underWay).toBe(1)
  await mkdir(join(directory, 'upload-left', 'work'), { recursive: true })
  expect(await uploads.sweep()).toBe(1)
  expect(await readdir(directory)).toHaveLength(1)
  await upload.discard()
  expect(uploads.underWay).toBe(0)
  expect(await readdir(directory)).toEqual([])
})

test('while the disk is nearly full nothing of an upload is read or written', async () => {
  const refuse = async () => {
    throw new Problem('disk-full', 'no room')
  }
  const uploads = await openUploads(directory, limits, undefined, refuse)
  const body = archive()
  await expect(uploads.receive(body, AbortSignal.timeout(20_000))).rejects.toMatchObject({
    code: 'disk-full',
  })
  expect(await readdir(directory)).toEqual([])
  expect(uploads.underWay).toBe(0)
  body.destroy()
})

test('a plain file comes to the disk byte by byte, and goes where it is placed', async () => {
  const uploads = await openUploads(directory, limits)
  const content = 'plain bytes '.repeat(100_000)
  const upload = await uploads.receiveFile(Readable.from([Buffer.from(content)]), AbortSignal.timeout(20_000))
  expect(upload.digest).toBe(createHash('sha256').update(content).digest('hex'))
  expect(uploads.underWay).toBe(1)
  await upload.place(join(directory, 'placed'))
  await upload.discard()
  expect(await readFile(join(directory, 'placed'), 'utf8')).toBe(content)
  expect(await readdir(directory)).toEqual(['placed'])
})

test('nothing is left of a plain file that breaks off, or that nobody waits for any more', async () => {
  const uploads = await openUploads(directory, limits)
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('beginning')
      throw new Error('cut off')
    })(),
  )
  await expect(uploads.receiveFile(broken, AbortSignal.timeout(20_000))).rejects.toThrow('cut off')
  const endless = new Readable({ read: () => undefined })
  const leaving = new AbortController()
  const receiving = uploads.receiveFile(endless, leaving.signal)
  leaving.abort(new Error('went away'))
  await expect(receiving).rejects.toMatchObject({ name: 'AbortError' })
  expect(await readdir(directory)).toEqual([])
  expect(uploads.underWay).toBe(0)
})
