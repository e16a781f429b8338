import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { FrameReader } from './frame-reader.ts'

test('takes what stands between two marks, however the bytes come', async () => {
  const whole = Buffer.from('noise MARK< more noise\nMARK1<a MARK1 b\0\nMARK1>17\nnoise MARK2<MARK2>0\n')
  for (const size of [1, 2, 3, 7, 100]) {
    const source = new PassThrough()
    const reader = new FrameReader(source)
    const parts: Buffer[] = []
    const first = reader.read('MARK1<', 'MARK1>', (bytes) => parts.push(Buffer.from(bytes)))
    const second = first.then(async (rest) => [rest, await reader.read('MARK2<', 'MARK2>', () => undefined)])
    for (let at = 0; at < whole.length; at += size) {
      source.write(whole.subarray(at, at + size))
      await turn()
    }
    expect(await second).toEqual(['17', '0'])
    expect(Buffer.concat(parts).toString()).toBe('a MARK1 b\0\n')
  }
})

test('passes bytes on as soon as they cannot be a mark', async () => {
  const source = new PassThrough()
  const parts: string[] = []
  void new FrameReader(source).read('<<<', '>>>', (bytes) => parts.push(bytes.toString()))
  source.write('<<<12\n>')
  await turn()
  expect(parts.join('')).toBe('12\n')
  source.write('> 3')
  await turn()
  expect(parts.join('')).toBe('12\n>> 3')
})
