import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bringOutput, type OutputRoots } from './bring-output.ts'

let base: string
let roots: OutputRoots
beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'molehill-collect-')))
  roots = { jobDirectory: join(base, 'job'), workDirectory: join(base, 'work') }
  for (const name of ['job', 'work', 'outside', 'here']) mkdirSync(join(base, name))
  writeFileSync(join(base, 'outside/secret'), 'secret')
  writeFileSync(join(base, 'work/shared'), 'shared')
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

const bring = (path: string): Promise<boolean> => bringOutput(path, roots, join(base, 'here'))
const brought = (path: string): string => readFileSync(join(base, 'here', path), 'utf8')

test('a link to a file of the work directory brings a copy of it', async () => {
  symlinkSync(join(base, 'work/shared'), join(base, 'job/out'))
  expect(await bring('out')).toBe(true)
  writeFileSync(join(base, 'here/out'), 'changed')
  expect(readFileSync(join(base, 'work/shared'), 'utf8')).toBe('shared')
})

test('a second name of a file elsewhere is copied, not shared', async () => {
  execFileSync('ln', [join(base, 'work/shared'), join(base, 'job/out')])
  expect(await bring('out')).toBe(true)
  expect(statSync(join(base, 'here/out')).ino).not.toBe(statSync(join(base, 'work/shared')).ino)
})

test('a link that leaves both directories is missing', async () => {
  symlinkSync(join(base, 'outside/secret'), join(base, 'job/out'))
  symlinkSync(join(base, 'outside'), join(base, 'job/dir'))
  expect([await bring('out'), await bring('dir'), await bring('dir/secret')]).toEqual([false, false, false])
})

test('a directory with such a link in it is missing as a whole', async () => {
  mkdirSync(join(base, 'job/dir'))
  writeFileSync(join(base, 'job/dir/fine'), '')
  symlinkSync('../../outside/secret', join(base, 'job/dir/leak'))
  expect(await bring('dir')).toBe(false)
  expect(() => brought('dir/fine')).toThrow('ENOENT')
})

test('a link within the job directory is followed', async () => {
  mkdirSync(join(base, 'job/run1'))
  writeFileSync(join(base, 'job/run1/result'), 'r')
  symlinkSync('run1', join(base, 'job/latest'))
  expect(await bring('latest/result')).toBe(true)
  expect(brought('latest/result')).toBe('r')
})

test('a directory that holds itself, a dangling link and a pipe are missing', async () => {
  mkdirSync(join(base, 'job/loop'))
  symlinkSync('.', join(base, 'job/loop/again'))
  symlinkSync('nowhere', join(base, 'job/dangling'))
  execFileSync('mkfifo', [join(base, 'job/pipe')])
  expect([await bring('loop'), await bring('dangling'), await bring('pipe')]).toEqual([false, false, false])
})
