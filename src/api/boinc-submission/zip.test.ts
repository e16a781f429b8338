import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { fitsZip, writeZip, type ZipEntry } from './zip.ts'

const entry = (name: string, content: string): ZipEntry => ({
  name,
  bytes: Buffer.byteLength(content),
  async *read() {
    const bytes = Buffer.from(content)
    for (let at = 0; at < bytes.length; at += 3) yield bytes.subarray(at, at + 3)
  },
})

async function written(entries: readonly ZipEntry[]): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of writeZip(entries)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** What another program reads of an archive. */
function read(archive: Buffer): unknown {
  const script =
    'import sys,io,zipfile,json;z=zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()));assert z.testzip() is None;print(json.dumps({n:z.read(n).decode() for n in z.namelist()}))'
  return JSON.parse(execFileSync('python3', ['-c', script], { input: archive, encoding: 'utf8' }))
}

describe('an archive', () => {
  it('holds files as they are', async () => {
    const files = { 'a.txt': 'some text', 'directory/é': 'é', empty: '' }
    expect(read(await written(Object.entries(files).map(([name, content]) => entry(name, content))))).toEqual(
      files,
    )
    expect(read(await written([]))).toEqual({})
  })

  it('breaks off where a file has changed', async () => {
    await expect(written([{ ...entry('a', 'text'), bytes: 3 }])).rejects.toThrow('a has changed')
  })

  it('is not begun for what it cannot hold', () => {
    expect(fitsZip([entry('a', 'b')])).toBe(true)
    expect(fitsZip([{ ...entry('a', ''), bytes: 2 ** 32 }])).toBe(false)
    expect(fitsZip(Array.from({ length: 2 ** 16 }, () => entry('a', '')))).toBe(false)
  })
})
