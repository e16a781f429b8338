import type { Readable } from 'node:stream'

/** The beginning of what a stream brings. */
export interface BoundedText {
  text(): string
  isCut(): boolean
}

/** Reads `stream` to its end and keeps no more than the first `bytesAtMost` of it; `onCut` is told when it passes that. */
export function keepBeginning(
  stream: Readable,
  bytesAtMost: number,
  onCut: () => void = () => undefined,
): BoundedText {
  const chunks: Buffer[] = []
  let kept = 0
  let isCut = false
  stream.on('error', () => undefined)
  stream.on('data', (chunk: Buffer) => {
    const room = bytesAtMost - kept
    if (room > 0) chunks.push(chunk.subarray(0, room))
    kept += Math.min(room, chunk.length)
    if (chunk.length > room && !isCut) {
      isCut = true
      onCut()
    }
  })
  return { text: () => Buffer.concat(chunks).toString('utf8'), isCut: () => isCut }
}
