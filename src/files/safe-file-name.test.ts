import { expect, test } from 'vitest'
import { safeFileName } from './safe-file-name.ts'

test.each([
  ['m51.fits', 'm51.fits'],
  ['M 51 (blue).FITS', 'M_51_blue_.FITS'],
  ['../../etc/passwd', 'passwd'],
  ['C:\\images\\m51.fits', 'm51.fits'],
  ['-rf', 'rf'],
  ['--output=x.txt', 'output_x.txt'],
  ['.bashrc', 'bashrc'],
  ['..', 'file'],
  ['', 'file'],
  ['a\0b\nc\u001b[31m.txt', 'a_b_c_31m.txt'],
  ['$(id).txt', 'id_.txt'],
  ["'; rm -rf ~; '.txt", 'rm_-rf_.txt'],
  ['Müller.csv', 'Müller.csv'],
  ['Mu\u0308ller.csv', 'Müller.csv'],
  ['\u202egnp.exe', 'gnp.exe'],
])('%j becomes %j', (name, safe) => {
  expect(safeFileName(name)).toBe(safe)
})

test('a long name is cut in whole characters, and keeps its ending', () => {
  for (const letter of ['a', 'ä', '漢', '𝔸']) {
    const safe = safeFileName(`${letter.repeat(400)}.fits`)
    expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(120)
    expect(safe).toMatch(/\.fits$/)
    expect(safe.isWellFormed()).toBe(true)
  }
  expect(Buffer.byteLength(safeFileName(`a.${'b'.repeat(400)}`))).toBe(120)
})
