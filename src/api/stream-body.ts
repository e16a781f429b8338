import type { Readable } from 'node:stream'

export interface StreamOptions {
  /** How many bytes were announced; a source that ends before counts as broken. */
  readonly lengthBytes?: number
  /** Cuts the connection and says whether there was one. */
  readonly breakOff: (reason: unknown) => boolean
}

/**
 * A stream as the body of an answer. When the source fails the connection is cut: an end without that would make the
 * client take a part for the whole. The source is destroyed when the client goes away.
 */
export function streamBody(
  source: Readable,
  { lengthBytes, breakOff }: StreamOptions,
): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = source[Symbol.asyncIterator]()
  let sentBytes = 0
  let isCancelled = false
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next()
          if (done !== true) {
            sentBytes += value.length
            controller.enqueue(value)
            return
          }
          if (lengthBytes !== undefined && sentBytes !== lengthBytes)
            throw new Error(`Expected ${lengthBytes} bytes to send, the source ended after ${sentBytes}.`)
          controller.close()
        } catch (error) {
          if (isCancelled) return
          source.destroy()
          // Where there is a connection its end also ends this stream; an error would only be printed.
          if (!breakOff(error)) controller.error(error)
        }
      },
      cancel() {
        isCancelled = true
        source.destroy()
      },
    },
    { highWaterMark: 0 },
  )
}
