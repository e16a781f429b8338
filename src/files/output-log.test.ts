import { array, asyncProperty, check, string } from 'fast-check'
import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OutputLog } from './output-log.ts'
import { cutText, incompleteEndBytes } from './text-boundary.ts'

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(await realpath(tmpdir()), 'molehill-output-'))
})

afterEach(() => rm(home, { recursive: true, force: true }))

const small = { headBytes: 100, tailBytes: 100 }

async function bytesOnDisk(): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(home)).map(async (name) => (await stat(join(home, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

test('a short output comes back as it is', async () => {
  const log = await OutputLog.open(home)
  expect(await log.read()).toBe('')
  await log.append('one\n')
  await log.append('')
  await log.append('zw\u00f6lf')
  expect(await log.read()).toBe('one\nzw\u00f6lf')
  expect(log.totalBytes).toBe(10)
})

test('calls that do not wait for each other keep their order', async () => {
  const log = await OutputLog.open(home)
  const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}\n`)
  await Promise.all(lines.map((line) => log.append(line)))
  expect(await log.read()).toBe(lines.join(''))
})

test('an output that just fits in head and tail has no gap', async () => {
  const log = await OutputLog.open(home, small)
  const lines = Array.from({ length: 28 }, (_, index) => `line ${String(index).padStart(3, '0')}\n`)
  for (const line of lines) await log.append(line)
  expect(await log.read()).toBe(lines.join(''))
})

test('a long output keeps its beginning and its end in whole lines, and says what is missing', async () => {
  const log = await OutputLog.open(home, small)
  const lines = Array.from({ length: 1000 }, (_, index) => `line ${String(index).padStart(4, '0')}\n`)
  for (const line of lines) await log.append(line)
  const [head = '', leftOut = '', tail = ''] = (await log.read()).split(
    /\[\.\.\. (\d+) bytes of output left out \.\.\.\]\n/,
  )
  expect(head).toBe(lines.slice(0, 10).join(''))
  expect(lines.join('').endsWith(tail)).toBe(true)
  expect(tail).toMatch(/^line /)
  expect(tail.length).toBeGreaterThanOrEqual(100)
  expect(head.length + Number(leftOut) + tail.length).toBe(10_000)
  expect(await bytesOnDisk()).toBeLessThanOrEqual(330)
  expect((await readdir(home)).length).toBe(3)
})

test('one endless line is cut between characters', async () => {
  const log = await OutputLog.open(home, small)
  await log.append('\u65e5'.repeat(10_000))
  const text = await log.read()
  expect(text).not.toContain('\ufffd')
  expect(text).toMatch(/^\u65e5+\n\[\.\.\. \d+ bytes of output left out \.\.\.\]\n\u65e5+$/)
  expect(await bytesOnDisk()).toBeLessThanOrEqual(600)
})

test('opened again it goes on where it was', async () => {
  const lines = Array.from({ length: 200 }, (_, index) => `line ${String(index).padStart(4, '0')}\n`)
  for (const line of lines) await (await OutputLog.open(home, small)).append(line)
  const again = await OutputLog.open(home, small)
  const once = await OutputLog.open(await mkdtemp(join(home, 'once-')), small)
  for (const line of lines) await once.append(line)
  expect(await again.read()).toBe(await once.read())
  expect(again.totalBytes).toBe(2000)
})

test('half a character that a crash left at the end is cut off', async () => {
  await writeFile(join(home, 'output.head'), 'whole\n')
  await appendFile(join(home, 'output.head'), Buffer.from('\u65e5').subarray(0, 2))
  const log = await OutputLog.open(home)
  await log.append('next')
  expect(await log.read()).toBe('whole\nnext')
})

test('reading while it is written never meets a missing piece', async () => {
  const log = await OutputLog.open(home, small)
  const writing = (async () => {
    for (let index = 0; index < 500; index += 1) await log.append(`line ${String(index).padStart(4, '0')}\n`)
  })()
  for (let round = 0; round < 50; round += 1) {
    const text = await log.read()
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('line '))
      .map((line) => Number(line.slice(5)))
    const jumps = lines.filter((line, index) => index > 0 && line !== (lines[index - 1] ?? 0) + 1).length
    expect(jumps).toBe(text.includes('left out') ? 1 : 0)
  }
  await writing
})

test('a failed write is told, and later ones work', async () => {
  const directory = await mkdtemp(join(home, 'gone-'))
  const log = await OutputLog.open(directory)
  await rm(directory, { recursive: true })
  await expect(log.append('lost')).rejects.toThrow('ENOENT')
  await log.flush()
  expect(log.totalBytes).toBe(0)
})

test('a link in the place of the log is not written through', async () => {
  await writeFile(join(home, 'victim'), 'mine')
  const directory = await mkdtemp(join(home, 'log-'))
  const log = await OutputLog.open(directory)
  await symlink('../victim', join(directory, 'output.head'))
  await expect(log.append('x')).rejects.toThrow('ELOOP')
  expect(await readFile(join(home, 'victim'), 'utf8')).toBe('mine')
})

test('a tail that no character fits in is refused', async () => {
  await expect(OutputLog.open(home, { headBytes: 0, tailBytes: 3 })).rejects.toThrow(
    'tailBytes of at least 4',
  )
})

test('a text that is appended at a place begins there, and nothing comes before it meanwhile', async () => {
  const log = await OutputLog.open(home, small)
  const places: number[] = []
  const text = 'a line of the text\n'.repeat(8)
  await log.append('first\n')
  const appended = log.appendAt(text, async (at) => {
    void log.append('late\n')
    await new Promise((resolve) => setImmediate(resolve))
    places.push(at, log.totalBytes)
  })
  await appended
  await log.flush()
  expect(places).toEqual([6, 6])
  expect((await OutputLog.open(home, small)).totalBytes).toBe(6 + text.length + 5)
  expect(await log.read()).toBe(`first\n${text}late\n`)
})

test('a text whose place cannot be noted is not appended', async () => {
  const log = await OutputLog.open(home, small)
  await expect(log.appendAt('text\n', () => Promise.reject(new Error('no journal')))).rejects.toThrow(
    'no journal',
  )
  await log.append('next\n')
  expect(await log.read()).toBe('next\n')
})

describe('boundaries', () => {
  test('any text in any pieces comes back whole or with the right gap', async () => {
    const outcome = await check(
      asyncProperty(array(string({ unit: 'binary', maxLength: 60 }), { maxLength: 30 }), async (pieces) => {
        const directory = await mkdtemp(join(home, 'any-'))
        const log = await OutputLog.open(directory, { headBytes: 20, tailBytes: 20 })
        for (const piece of pieces) await log.append(piece)
        const whole = Buffer.from(pieces.join('')).toString()
        const text = await log.read()
        await rm(directory, { recursive: true })
        const gap = /\n?\[\.\.\. (\d+) bytes of output left out \.\.\.\]\n/.exec(text)
        if (!gap) return text === whole
        const tail = text.slice(gap.index + gap[0].length)
        return (
          whole.endsWith(tail) && whole.startsWith(text.slice(0, gap.index)) && Buffer.byteLength(tail) >= 20
        )
      }),
      { numRuns: 60 },
    )
    expect(outcome.counterexample).toBeNull()
  })

  test('a cut falls on a line end in the window, else between characters', () => {
    const cut = (text: string, least: number, most: number) => cutText(Buffer.from(text), least, most)
    expect(cut('abc', 5, 8)).toEqual({ bytes: 3, isFull: false })
    expect(cut('abc\ndef\nghi', 3, 9)).toEqual({ bytes: 4, isFull: true })
    expect(cut('abc\ndef\nghi', 5, 9)).toEqual({ bytes: 8, isFull: true })
    expect(cut('abcdef', 3, 9)).toEqual({ bytes: 6, isFull: false })
    expect(cut('abc\u65e5\u65e5', 3, 5)).toEqual({ bytes: 3, isFull: true })
    expect(cut('\u65e5', -2, 1)).toEqual({ bytes: 0, isFull: true })
  })

  test('an incomplete end is measured', () => {
    const whole = Buffer.from('a\u{1f600}')
    expect([5, 4, 3, 2, 1, 0].map((end) => incompleteEndBytes(whole.subarray(0, end)))).toEqual([
      0, 3, 2, 1, 0, 0,
    ])
  })
})
