import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { toJobId } from '../../src/environment/environment.ts'
import { exampleWorkunit } from '../../src/volunteers/project.fixtures.ts'
import type { ResultUnpacker } from '../../src/volunteers/unpack-results.ts'
import { fakeArchive } from '../../test/helpers/fake-volunteer.ts'
import type { JobPlace } from './filed-work.ts'
import { Results } from './results.ts'

let directory: string
let archive: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-results-'))
  archive = join(directory, 'archive')
  writeFileSync(archive, fakeArchive('printed'))
})

afterEach(async () => {
  await rm(directory, { recursive: true })
})

const workunit = exampleWorkunit('wu')
const job = { id: toJobId('wu'), outputs: [] }
const place: JobPlace = {
  work: { version: 1, workunit, workDirectory: '/work', jobs: [job] },
  position: 1,
  job,
}

test('a collect that is aborted fails none that waits for the same result, and leaves nothing', async () => {
  const unpacked = Promise.withResolvers<void>()
  const unpack = vi.fn<ResultUnpacker['unpack']>(async (_, target) => {
    await unpacked.promise
    await mkdir(join(target, 'jobs/1'), { recursive: true })
    writeFileSync(join(target, 'jobs/1/stdout'), 'printed')
  })
  const results = new Results(join(directory, 'results'), { unpack, close: () => Promise.resolve() })
  const first = new AbortController()
  const aborted = results.collect(place, archive, directory, first.signal)
  const other = results.collect(place, archive, directory, new AbortController().signal)
  await vi.waitFor(() => expect(unpack).toHaveBeenCalled(), { timeout: 60_000 })
  first.abort(new Error('cancelled'))
  await expect(aborted).rejects.toThrow('cancelled')
  unpacked.resolve()
  expect(readFileSync((await other).stdout, 'utf8')).toBe('printed')
  expect(unpack).toHaveBeenCalledTimes(1)
  await results.forget('wu')
  expect(existsSync(join(directory, 'results', 'wu'))).toBe(false)
})

test('what is forgotten while it is unpacked is gone', async () => {
  const unpacked = Promise.withResolvers<void>()
  const unpack = vi.fn<ResultUnpacker['unpack']>(async (_, target) => {
    await unpacked.promise
    await mkdir(target)
  })
  const results = new Results(join(directory, 'results'), { unpack, close: () => Promise.resolve() })
  const abort = new AbortController()
  const aborted = results.collect(place, archive, directory, abort.signal)
  await vi.waitFor(() => expect(unpack).toHaveBeenCalled(), { timeout: 60_000 })
  abort.abort(new Error('cancelled'))
  await expect(aborted).rejects.toThrow('cancelled')
  const forgotten = results.forget('wu')
  unpacked.resolve()
  await forgotten
  expect(existsSync(join(directory, 'results', 'wu'))).toBe(false)
})
