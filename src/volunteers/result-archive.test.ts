import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultArchiveLimits } from '../files/archive-limits.ts'
import { encodeTarHeader, endMark, paddingBytes } from '../files/tar-writer.ts'
import { comparisonText, type Comparison } from './comparison.ts'
import { digestResult, readRecord, unpackResult } from './result-archive.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-results-'))
})
afterAll(() => rm(directory, { recursive: true }))

interface Entry {
  readonly path: string
  readonly text?: string
  readonly kind?: 'file' | 'directory' | 'link'
}

let count = 0
async function archive(entries: readonly Entry[], change = (bytes: Buffer) => bytes): Promise<string> {
  const blocks = entries.flatMap(({ path, text = '', kind = 'file' }) => {
    const target = kind === 'link' ? text : ''
    const content = Buffer.from(kind === 'file' ? text : '')
    const modifiedAt = new Date(count)
    return [
      encodeTarHeader({ kind, path, target, sizeBytes: content.length, mode: 0o644, modifiedAt }),
      content,
      Buffer.alloc(paddingBytes(content.length)),
    ]
  })
  count += 1
  const path = join(directory, `${count}.tar.gz`)
  await writeFile(path, change(gzipSync(Buffer.concat([...blocks, endMark]))))
  return path
}

const usual = { comparesPrinted: false, varying: [2] }

interface Told {
  readonly end?: string
  readonly comparison?: Comparison
  readonly printed?: string
  readonly log?: string
  readonly result?: string
  readonly time?: string
}

function result({ end = 'exited 0 12', comparison = usual, printed, log, result, time }: Told = {}) {
  return archive([
    { path: 'record', text: `molehill-result 1\nsystem Linux x86_64\njob 1 ${end}\n` },
    { path: 'jobs/1/compared', text: comparisonText(comparison) },
    { path: 'jobs/1/stdout', text: printed ?? 'printed' },
    { path: 'jobs/1/stderr', text: log ?? 'log' },
    { path: 'jobs/1/out', kind: 'directory' },
    { path: 'jobs/1/out/1', text: result ?? 'result' },
    { path: 'jobs/1/out/2', text: time ?? '3 s' },
  ])
}

async function digest(told?: Told): Promise<string> {
  const found = await digestResult(await result(told))
  if (found.kind === 'broken') throw new Error(found.message)
  return found.digest
}

describe('the digest of a result', () => {
  test('is the same whatever times, logs and varying outputs are', async () => {
    const others = [{ end: 'exited 0 99' }, { printed: 'else' }, { log: 'else' }, { time: '4 s' }]
    const expected = await digest()
    for (const told of others) expect(await digest(told)).toBe(expected)
  })

  test('differs by exit code, outputs, and what is said to vary', async () => {
    const digests = await Promise.all([
      digest(),
      digest({ end: 'exited 1 12' }),
      digest({ end: 'timeout 12' }),
      digest({ result: 'forged' }),
      digest({ comparison: { comparesPrinted: false, varying: [1, 2] } }),
      digest({
        comparison: { comparesPrinted: false, varying: [1, 2] },
        result: 'forged',
        end: 'signal 9 1',
      }),
      digest({ comparison: { comparesPrinted: true, varying: [2] } }),
      digest({ comparison: { comparesPrinted: true, varying: [2] }, printed: 'else' }),
    ])
    expect(new Set(digests).size).toBe(digests.length)
  })
})

describe('a result is broken', () => {
  const record = { path: 'record', text: 'molehill-result 1\njob 1 exited 0 1\n' }
  test.each([
    ['that has no record', [{ path: 'jobs/1/stdout', text: '' }], 'does not begin with its record'],
    ['that is empty', [], 'has no record'],
    ['of another program', [{ path: 'record', text: 'else\n' }], 'not made by the launcher'],
    ['that tells of no job', [{ path: 'record', text: 'molehill-result 1\n' }], 'tells of no job'],
    [
      'with a strange line',
      [{ path: 'record', text: 'molehill-result 1\njob 1 exited 0 1\nx' }],
      'cannot be read',
    ],
    [
      'with a strange end',
      [{ path: 'record', text: 'molehill-result 1\njob 1 exited -1 1\n' }],
      'cannot be read',
    ],
    [
      'that tells an end twice',
      [{ path: 'record', text: `${record.text}job 1 exited 1 1\n` }],
      'tells twice',
    ],
    ['that ran nothing', [{ path: 'record', text: 'molehill-result 1\nfailed no disk\n' }], 'no disk'],
    ['that climbs out', [record, { path: '../../evil', text: '' }], '..'],
    ['with an absolute name', [record, { path: '/etc/evil', text: '' }], '/etc/evil'],
    ['with a name twice', [record, record], 'comes twice'],
    [
      'with a link that leads out',
      [record, { path: 'jobs/1/out/1', kind: 'link' as const, text: '/etc' }],
      'link',
    ],
    ['with another comparison', [record, { path: 'jobs/1/compared', text: '{"varying":"all"}' }], 'compared'],
  ])('%s', async (_, entries: readonly Entry[], message) => {
    const found = await digestResult(await archive(entries))
    expect(found).toMatchObject({ kind: 'broken', message: expect.stringContaining(message) })
  })

  test('that is cut short, no archive, or unpacks to more than it may', async () => {
    const cut = await archive([record], (bytes) => bytes.subarray(0, bytes.length - 12))
    expect(await digestResult(cut)).toMatchObject({ kind: 'broken' })
    expect(await digestResult(await archive([record], () => Buffer.from('<html>')))).toMatchObject({
      kind: 'broken',
    })
    expect(await digestResult(await archive([record], () => Buffer.alloc(0)))).toMatchObject({
      kind: 'broken',
    })
    const large = await archive([record, { path: 'jobs/1/out/1', text: 'x'.repeat(200_000) }])
    expect(await digestResult(large, { ...defaultArchiveLimits, unpackedBytes: 100_000 })).toMatchObject({
      kind: 'broken',
      message: expect.stringContaining('100000 bytes'),
    })
  })
})

test('a large archive has the digest of its content as a small one does', async () => {
  // The same bytes, packed without compression, are more than is read in one go.
  const packed = { result: 'r'.repeat(400_000) }
  const stored = await result(packed)
  const loose = join(directory, 'stored.tar.gz')
  await writeFile(loose, gzipSync(gunzipSync(await readFile(stored)), { level: 0 }))
  expect((await stat(loose)).size).toBeGreaterThan(400_000)
  expect(await digestResult(loose)).toEqual(await digestResult(stored))
  expect((await readRecord(loose)).ends.get(1)).toEqual({ kind: 'exited', code: 0, seconds: 12 })
  const bomb = await result({ result: 'r'.repeat(20_000_000) })
  expect(await digestResult(bomb)).toMatchObject({ kind: 'sound' })
  expect(await digestResult(bomb, { ...defaultArchiveLimits, unpackedBytes: 10_000_000 })).toMatchObject({
    kind: 'broken',
  })
  const cut = join(directory, 'cut.tar.gz')
  await writeFile(cut, (await readFile(loose)).subarray(0, 300_000))
  expect(await digestResult(cut)).toMatchObject({ kind: 'broken' })
})

test('an archive that is not there is an error of the server, not of the host', async () => {
  await expect(digestResult(join(directory, 'nothing'))).rejects.toThrow('ENOENT')
})

test('the record tells how jobs ended, and all is unpacked by the gate', async () => {
  const record = {
    path: 'record',
    text: 'molehill-result 1\nsystem Linux x86_64\njob 1 memory 7\njob 2 signal 9 8\n',
  }
  expect(await readRecord(await archive([record]))).toEqual({
    system: 'Linux x86_64',
    ends: new Map([
      [1, { kind: 'memory', seconds: 7 }],
      [2, { kind: 'signal', code: 9, seconds: 8 }],
    ]),
  })
  const target = join(directory, 'unpacked')
  const signal = new AbortController().signal
  const evil = await archive([record, { path: '../evil', text: '' }])
  await expect(unpackResult(evil, target, signal)).rejects.toThrow('..')
  await expect(stat(target)).rejects.toThrow('ENOENT')
  await unpackResult(await result(), target, signal)
  expect((await stat(join(target, 'jobs/1/out/1'))).size).toBe(6)
})
