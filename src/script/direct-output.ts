import { writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { isMainThread } from 'node:worker_threads'

/**
 * Makes this thread's `process.stdout` and `process.stderr`, and so the console, write to the descriptors at once.
 * Nothing piles up in memory when user code writes faster than it is read, and nothing is lost when it ends its
 * process. Call it before anything is written.
 */
export function writeDirectly(descriptors: { readonly stdout: number; readonly stderr: number }): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const write = directWrite(descriptors[name])
    if (isMainThread) {
      const stream = new Writable({ write })
      Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream })
    }
    // Node itself calls methods of a worker thread's own streams, at any time: these stay, and write elsewhere.
    else Object.assign(process[name], { _write: write, _writev: null })
  }
}

function directWrite(descriptor: number): NonNullable<ConstructorParameters<typeof Writable>[0]>['write'] {
  // Streams of worker threads hand on text as it is.
  return (chunk: Buffer | string, encoding, done) => {
    try {
      writeAll(descriptor, typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk)
      done()
    } catch (error) {
      // Nobody reads any more: output is of no use to anyone.
      done(error instanceof Error && 'code' in error && error.code === 'EPIPE' ? undefined : (error as Error))
    }
  }
}

/** Writes all of `bytes`, waiting where the reader is slower. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;)
    try {
      written += writeSync(descriptor, bytes, written)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    }
}
