import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { contentPath } from './content-store.ts'
import { exportContent } from './export-content.ts'
import { scanContent } from './scan-tree.ts'

const { signal } = new AbortController()
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-export-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

test('a directory lies where its content is looked for, and is the same content', async () => {
  const from = join(directory, 'from')
  mkdirSync(join(from, 'deep'), { recursive: true })
  writeFileSync(join(from, 'deep/program'), '#!/bin/sh\n', { mode: 0o755 })
  const base = join(directory, 'image')
  const path = await exportContent(from, base, signal)
  expect(path).toBe(contentPath(await scanContent(from, 'content', signal)))
  expect(readFileSync(join(base, path, 'deep/program'), 'utf8')).toBe('#!/bin/sh\n')
  expect((await scanContent(join(base, path), 'content', signal)).hash).toBe(path.split('/')[1])
})

test('a single file too, and once more does no harm', async () => {
  const from = join(directory, 'program')
  writeFileSync(from, 'text', { mode: 0o755 })
  for (const _ of [1, 2]) {
    const path = await exportContent(from, directory, signal)
    expect(readFileSync(join(directory, path), 'utf8')).toBe('text')
    expect(statSync(join(directory, path)).mode & 0o111).not.toBe(0)
  }
})
