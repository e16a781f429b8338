import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { scanContent, type Content } from '../../../src/environment/job-files/scan-tree.ts'
import { tarBytes, tarLength } from '../../../src/environment/job-files/tar-stream.ts'
import {
  claimText,
  lookKeptText,
  makeKeptText,
  publishText,
  readKeptText,
  releaseText,
  unpackText,
} from './volume-scripts.ts'

const signal = new AbortController().signal
let root: string
let claim: string
let content: Content
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "molehill-test-volume '$x-"))
  claim = join(root, 'claim')
  const tree = join(root, 'tree')
  mkdirSync(join(tree, 'deep'), { recursive: true })
  writeFileSync(join(tree, 'deep/one'), 'one\n')
  writeFileSync(join(tree, 'run'), 'run\n', { mode: 0o755 })
  content = await scanContent(tree, 'content', signal)
})
afterEach(() => {
  spawnSync('chmod', ['-R', 'u+w', root])
  rmSync(root, { recursive: true, force: true })
})

function run(text: string, words: readonly string[], input: Buffer | string = '') {
  const { status, stdout, stderr } = spawnSync('busybox', ['sh', '-c', text, 'sh', claim, ...words], {
    input,
  })
  return { status, stdout: String(stdout), stderr: String(stderr) }
}

const archive = async () => buffer(Readable.from(tarBytes(content.entries), { objectMode: false }))
const size = (files = 2) => [content.hash, String(files), String(content.bytes)]
const place = (path: string) => join(claim, 'shared', content.hash, path)
const answered = (stdout: string) => ({ status: 0, stdout, stderr: '' })

test('a content is there once it is published, and goes with the last of its executions', async () => {
  const { hash, entries } = content
  expect(run(claimText, ['first', hash, '-'])).toEqual(answered(''))
  const bytes = await archive()
  // The input goes on, as that of an exec does.
  const words = ['m1', String(tarLength(entries))]
  expect(run(unpackText, words, Buffer.concat([bytes, Buffer.from('rest')]))).toEqual(answered(''))
  expect(existsSync(place('content'))).toBe(false)
  expect(run(publishText, ['m1', ...size()])).toEqual(answered(''))
  expect(readFileSync(place('content/deep/one'), 'utf8')).toBe('one\n')
  expect(statSync(place('content/deep/one')).mode & 0o777).toBe(0o444)
  expect(statSync(place('content/run')).mode & 0o777).toBe(0o555)
  expect(run(claimText, ['first', hash, '-', 'unknown', 'kept'])).toEqual(answered(`${hash}\n`))
  expect(run(claimText, ['second', hash, '-'])).toEqual(answered(`${hash}\n`))
  expect(run(releaseText, ['first', '7', 'jobs/first'])).toEqual(answered(''))
  expect(existsSync(place('content/run'))).toBe(true)
  expect(run(releaseText, ['second', '7', 'jobs/second'])).toEqual(answered(''))
  expect(existsSync(place(''))).toBe(false)
  expect(run(releaseText, ['second', '7', 'jobs/second'])).toEqual(answered(''))
})

test('what many executions share stays for days after the last one', async () => {
  const { hash, entries } = content
  run(unpackText, ['m1', String(tarLength(entries))], await archive())
  run(publishText, ['m1', ...size()])
  run(claimText, ['first', hash, 'kept'])
  expect(run(releaseText, ['first', '7', 'jobs/first'])).toEqual(answered(''))
  expect(existsSync(place('content/run'))).toBe(true)
  spawnSync('touch', ['-d', '8 days ago', place('kept')])
  expect(run(releaseText, ['other', '7', 'jobs/other'])).toEqual(answered(''))
  expect(existsSync(place(''))).toBe(false)
})

test('what did not arrive whole is never published, and what was begun goes', async () => {
  const { hash, entries } = content
  const bytes = await archive()
  expect(run(unpackText, ['m1', String(tarLength(entries))], bytes.subarray(0, 700)).status).not.toBe(0)
  run(unpackText, ['m2', String(tarLength(entries))], bytes)
  const { status, stderr } = run(publishText, ['m2', ...size(3)])
  expect(status).toBe(1)
  expect(stderr).toBe('2 files of 8 bytes have arrived instead of 3 of 8.\n')
  expect(run(claimText, ['first', hash, '-'])).toEqual(answered(''))
  expect(existsSync(join(claim, 'shared/new.m1'))).toBe(false)
})

test('what a job has left is there until its execution is over', () => {
  expect(run(makeKeptText, ['jobs/first', 'a', 'b'])).toEqual(answered(''))
  expect(run(lookKeptText, ['jobs/first/a/outputs.tar'])).toEqual(answered(''))
  writeFileSync(join(claim, 'jobs/first/a/outputs.tar'), 'packed')
  expect(run(lookKeptText, ['jobs/first/a/outputs.tar'])).toEqual(answered('there\n'))
  expect(run(readKeptText, ['jobs/first/a/outputs.tar', 'mark'])).toEqual(answered('mark\npacked'))
  run(releaseText, ['first', '7', 'jobs/first'])
  expect(existsSync(join(claim, 'jobs/first'))).toBe(false)
})
