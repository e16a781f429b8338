import type { Readable, Writable } from 'node:stream'
import { Problem } from '../problem.ts'

export interface Feeding {
  /** Settles when the source has ended and all is handed over, or rejects when the source fails. */
  readonly done: Promise<void>
  /** Lets go of the source: it is paused, left open, and may be read or closed by its owner. */
  stop(): void
}

/**
 * Writes a source into a sink no faster than the sink takes it. Unlike `pipeline` it leaves the source open when it
 * is stopped, so that a server can still answer on the connection that the source comes from.
 *
 * @param onChunk is told of every chunk before it is written; what it throws ends the feeding.
 * @param onProgress is told whenever bytes came or were taken.
 */
export function feed(
  source: Readable,
  sink: Writable,
  onChunk: (chunk: Buffer) => void,
  onProgress: () => void,
): Feeding {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const ignore = () => undefined
  const fail = (error: unknown) => {
    stop()
    reject(error)
  }
  const take = (chunk: Buffer) => {
    try {
      onChunk(chunk)
    } catch (error) {
      fail(error)
      return
    }
    onProgress()
    if (!sink.write(chunk)) source.pause()
  }
  const goOn = () => {
    onProgress()
    source.resume()
  }
  const finish = () => {
    stop()
    sink.end()
    resolve()
  }
  const breakOff = () =>
    fail(source.errored ?? new Problem('body-invalid', 'The upload ended before its end came.'))

  function stop(): void {
    source.off('data', take).off('end', finish).off('close', breakOff).off('error', fail)
    sink.off('drain', goOn)
    // An error that comes later belongs to the owner of the source; it must not bring the process down here.
    source.on('error', ignore).pause()
  }

  if (source.destroyed)
    fail(source.errored ?? new Problem('body-invalid', 'The upload was closed before it was read.'))
  else {
    sink.on('drain', goOn)
    source.on('error', fail).on('end', finish).on('close', breakOff).on('data', take)
  }
  return { done: promise, stop }
}
