import { closeSync, createWriteStream, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { finished } from 'node:stream/promises'
import { Writable } from 'node:stream'
import { Parser, type ReadEntry } from 'tar'
import { EnvironmentError } from '../environment.ts'
import { segmentsOf } from '../view.ts'

/** Says where on the server a file or directory of the stream goes; undefined where it is not wanted. */
export type Placing = (path: string, kind: 'file' | 'directory') => string | undefined

/** Files up to this size are written at once; larger ones as fast as the disk takes them. */
const smallBytes = 256 * 1024

/**
 * Takes a tar stream that follows the line `mark`, and writes its files and directories where `placing` says. Links
 * and everything else are passed over: nothing that a stream holds can lead a later file elsewhere. Targets must lie
 * in directories where only we write. `moved` is told of every chunk. Names must be as GNU tar writes them: node-tar breaks
 * those of PAX at line ends. For streams of others there is `createTarReader` of src/files/tar-reader.ts.
 */
export function receiveOutputs(
  mark: string,
  placing: Placing,
  moved: () => void,
): { stream: Writable; whole: Promise<void> } {
  const done = Promise.withResolvers<void>()
  const writing = new Set<Promise<unknown>>()
  let failure: Error | undefined
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error))
    done.reject(failure)
  }
  let isEmpty = true
  const parser = new Parser({ strict: true, onReadEntry: (entry) => take(entry) })
  parser.on('error', (error) => {
    // Without entries an archive is no archive to the parser.
    if (isEmpty && 'tarCode' in error && error.tarCode === 'TAR_BAD_ARCHIVE') done.resolve()
    else fail(error)
  })
  parser.on('end', () => {
    Promise.all(writing).then(() => done.resolve(), fail)
  })
  done.promise.catch(() => undefined)

  function take(entry: ReadEntry): void {
    isEmpty = false
    const kind = kindOf(entry)
    const target =
      kind === undefined || segmentsOf(entry.path) === undefined ? undefined : placing(entry.path, kind)
    if (target === undefined || failure !== undefined) {
      entry.resume()
      return
    }
    try {
      if (kind === 'directory') {
        mkdirSync(target, { recursive: true })
        entry.resume()
        return
      }
      mkdirSync(dirname(target), { recursive: true })
      if (entry.size > smallBytes) writeLarge(entry, target)
      else writeSmall(entry, target)
    } catch (error) {
      fail(error)
      entry.resume()
    }
  }

  function writeSmall(entry: ReadEntry, target: string): void {
    const file = openSync(target, 'wx', 0o600)
    entry.on('data', (chunk) => {
      try {
        writeSync(file, chunk)
      } catch (error) {
        fail(error)
      }
    })
    entry.on('end', () => closeSync(file))
  }

  function writeLarge(entry: ReadEntry, target: string): void {
    const stream = createWriteStream(target, { flags: 'wx', mode: 0o600 })
    const written = finished(stream).catch(fail)
    writing.add(written.finally(() => writing.delete(written)))
    entry.pipe(stream)
  }

  let beginning: Buffer | undefined = Buffer.alloc(0)
  const stream = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      moved()
      let rest: Buffer = chunk
      if (beginning !== undefined) {
        beginning = Buffer.concat([beginning, chunk])
        const at = beginning.indexOf(`${mark}\n`)
        if (at < 0) {
          callback(beginning.length > 1024 ** 2 ? new EnvironmentError('The answer has no beginning.') : null)
          return
        }
        rest = beginning.subarray(at + mark.length + 1)
        beginning = undefined
      }
      if (failure !== undefined) callback(failure)
      else if (rest.length === 0 || parser.write(rest)) callback()
      else parser.once('drain', () => callback())
    },
    final(callback) {
      parser.end()
      callback()
    },
    destroy(error, callback) {
      if (error !== null) fail(error)
      callback(error)
    },
  })
  stream.on('error', () => undefined)
  return { stream, whole: done.promise }
}

function kindOf({ type }: ReadEntry): 'file' | 'directory' | undefined {
  if (type === 'File' || type === 'OldFile' || type === 'ContiguousFile') return 'file'
  return type === 'Directory' ? 'directory' : undefined
}
