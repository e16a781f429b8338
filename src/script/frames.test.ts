import { duplexPair } from 'node:stream'
import { expect, test, vi } from 'vitest'
import { readFrames, sendFrame, type Frame } from './frames.ts'

test('frames arrive whole and in order, however they are cut on the way', async () => {
  const [near, far] = duplexPair()
  const bytes: Buffer[] = []
  far.on('data', (chunk: Buffer) => bytes.push(chunk))
  sendFrame(near, { kind: 'first' }, Buffer.from('ä body'))
  sendFrame(near, { kind: 'second' })
  sendFrame(near, 3, Buffer.alloc(5000, 'x'))
  await vi.waitFor(() => expect(Buffer.concat(bytes).length).toBeGreaterThan(5000))
  for (const size of [1, 7, 4096, 100_000]) {
    const [writer, reader] = duplexPair()
    const frames: Frame[] = []
    readFrames(
      reader,
      (frame) => frames.push(frame),
      () => expect.unreachable(),
    )
    const all = Buffer.concat(bytes)
    for (let at = 0; at < all.length; at += size) writer.write(all.subarray(at, at + size))
    await vi.waitFor(() => expect(frames).toHaveLength(3))
    expect(frames.map(({ head }) => head)).toEqual([{ kind: 'first' }, { kind: 'second' }, 3])
    expect(frames.map(({ body }) => body.toString().slice(0, 10))).toEqual(['ä body', '', 'xxxxxxxxxx'])
  }
})

test.each([
  ['a length out of all bounds', Buffer.alloc(8, 255)],
  ['a head that is no JSON', Buffer.from([2, 0, 0, 0, 2, 0, 0, 0, 120, 120])],
])('anything else is told once: %s', async (_, bytes) => {
  const [writer, reader] = duplexPair()
  const onFrame = vi.fn<(frame: Frame) => void>()
  const onStray = vi.fn<(error: unknown) => void>()
  readFrames(reader, onFrame, onStray)
  writer.write(bytes)
  writer.write(bytes)
  await vi.waitFor(() => expect(onStray).toHaveBeenCalled())
  expect(onStray).toHaveBeenCalledOnce()
  expect(onFrame).not.toHaveBeenCalled()
})
