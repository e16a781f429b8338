import { existsSync, mkdirSync, statSync, truncateSync, utimesSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeRuntime } from './runtime.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-test-runtime-'))
})
afterEach(() => rm(directory, { recursive: true }))

const now = Date.parse('2026-06-01T12:00:00Z')
const dayMs = 86_400_000

it('is left alone by the next start of the server: jobs that outlive it may be reading it', async () => {
  const first = await makeRuntime(directory, now)
  const files = [first.program, 'src/molehill.ts', 'package.json'].map((path) => join(first.directory, path))
  const inodes = files.map((path) => statSync(path).ino)
  const second = await makeRuntime(directory, now + dayMs)
  expect(second).toEqual(first)
  expect(files.map((path) => statSync(path).ino)).toEqual(inodes)
})

it('is made anew where it is damaged', async () => {
  const { directory: place, program } = await makeRuntime(directory, now)
  truncateSync(join(place, program))
  await makeRuntime(directory, now)
  expect(statSync(join(place, program)).size).toBeGreaterThan(0)
})

it('of another version is kept while jobs may use it, and for months after', async () => {
  const { directory: current } = await makeRuntime(directory, now)
  const [recent, old] = ['recent', 'old'].map((name) => join(directory, name)) as [string, string]
  for (const [path, days] of [
    [recent, 80],
    [old, 100],
  ] as const) {
    mkdirSync(path)
    utimesSync(path, now / 1000, (now - days * dayMs) / 1000)
  }
  await makeRuntime(directory, now)
  expect([existsSync(recent), existsSync(old)]).toEqual([true, false])
  expect((await readdir(directory)).map((name) => join(directory, name)).toSorted()).toEqual(
    [current, recent].toSorted(),
  )
})
