import type { Readable } from 'node:stream'

/** An event holds one object, and etcd takes 1.5 MB of one. */
const mostLineBytes = 16 * 2 ** 20

/**
 * Whole lines of a stream of text, as many at a time as have come together. A last line without an end is left out: the
 * stream was cut in it. Throws what the stream fails with, and where a line is longer than 16 MiB.
 */
export async function* readLines(stream: Readable): AsyncGenerator<readonly string[]> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const end = chunk.lastIndexOf(10)
    if (end < 0) {
      parts.push(chunk)
      bytes += chunk.length
      if (bytes > mostLineBytes) throw new Error(`a line is longer than ${mostLineBytes} bytes`)
      continue
    }
    const text = Buffer.concat([...parts, chunk.subarray(0, end)]).toString('utf8')
    parts = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : []
    bytes = chunk.length - end - 1
    yield text.split('\n').filter((line) => line !== '')
  }
}
