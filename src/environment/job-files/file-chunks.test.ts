import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileChunks } from './file-chunks.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-file-chunks-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

test.each([
  ['nothing', 0, 0],
  ['less than a chunk', 1000, 0],
  ['whole chunks', 1024 * 1024, 0],
  ['many chunks and some more', 5_000_001, 0],
  ['the rest after a break', 5_000_001, 1_234_567],
  ['nothing after the end', 1000, 1000],
])('%s arrives as it is, also where the reader is slow', async (_what, size, start) => {
  const content = randomBytes(size)
  const [from, to] = [join(directory, 'from'), join(directory, 'to')]
  writeFileSync(from, content)
  // It reads little at a time, with pauses.
  const script =
    'while head -c 65536 >part && [ -s part ]; do cat part; [ $((n += 1)) -gt 5 ] || sleep 0.02; done >to'
  const reader = spawn('sh', ['-c', script], { cwd: directory, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(reader, 'close')
  const source = Readable.from(fileChunks(from, start), { objectMode: false, highWaterMark: 1 })
  await pipeline(source, reader.stdin)
  await ended
  expect(readFileSync(to).equals(content.subarray(start))).toBe(true)
})
