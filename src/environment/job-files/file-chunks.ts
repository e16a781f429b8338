import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

const chunkBytes = 256 * 1024
/** One is being read, one waits, one is being written, and one to spare. */
const bufferCount = 4

/**
 * The bytes of a file from `start` on, in chunks of 256 KiB, the last one shorter. Buffers are used again: a chunk holds
 * until three more have been asked for, which suits a pipeline into a pipe or socket. Fresh ones would take three times the CPU.
 */
export async function* fileChunks(path: string, start: number): AsyncGenerator<Buffer> {
  const buffers = Array.from({ length: bufferCount }, () => Buffer.allocUnsafeSlow(chunkBytes))
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    for (let position = start, turn = 0; ; turn = (turn + 1) % bufferCount) {
      const chunk = await readFull(file, buffers[turn]!, position)
      if (chunk.length > 0) yield chunk
      if (chunk.length < chunkBytes) return
      position += chunk.length
    }
  } finally {
    await file.close()
  }
}

/** Short only at the end of the file: a stream would keep several short chunks waiting. */
async function readFull(file: FileHandle, buffer: Buffer, position: number): Promise<Buffer> {
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}
