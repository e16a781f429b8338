import type { Duplex } from 'node:stream'

/** A message: a small part that JSON can say, and a text that may be large. */
export interface Frame {
  readonly head: unknown
  readonly body: Buffer
}

const bytesAtMost = 512 * 1024 * 1024
const prefixBytes = 8

/** Sends a frame: its length, the length of the head (both UInt32 LE), the head as JSON, the body. */
export function sendFrame(stream: Duplex, head: unknown, body: Uint8Array = new Uint8Array()): void {
  if (!stream.writable) return
  const headBytes = Buffer.from(JSON.stringify(head))
  const prefix = Buffer.alloc(prefixBytes)
  prefix.writeUInt32LE(headBytes.length + body.length, 0)
  prefix.writeUInt32LE(headBytes.length, 4)
  stream.cork()
  stream.write(prefix)
  stream.write(headBytes)
  if (body.length > 0) stream.write(body)
  stream.uncork()
}

/** Calls `onFrame` for every frame that comes in, and `onStray`, once, when something else does or `onFrame` throws. */
export function readFrames(
  stream: Duplex,
  onFrame: (frame: Frame) => void,
  onStray: (error: unknown) => void,
): void {
  let chunks: Buffer[] = []
  let received = 0
  let needed = prefixBytes
  let isStray = false
  stream.on('data', (chunk: Buffer) => {
    if (isStray) return
    chunks.push(chunk)
    received += chunk.length
    if (received < needed) return
    let rest = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    try {
      for (;;) {
        needed = rest.length < prefixBytes ? prefixBytes : prefixBytes + frameLength(rest)
        if (rest.length < needed) break
        onFrame(readFrame(rest.subarray(0, needed)))
        rest = rest.subarray(needed)
      }
    } catch (error) {
      isStray = true
      onStray(error)
    }
    chunks = [rest]
    received = rest.length
  })
}

function frameLength(bytes: Buffer): number {
  const length = bytes.readUInt32LE(0)
  if (length > bytesAtMost || bytes.readUInt32LE(4) > length)
    throw new RangeError(`Expected a message of at most ${bytesAtMost} bytes, got the length ${length}.`)
  return length
}

function readFrame(bytes: Buffer): Frame {
  const end = prefixBytes + bytes.readUInt32LE(4)
  return { head: JSON.parse(bytes.toString('utf8', prefixBytes, end)), body: bytes.subarray(end) }
}
