import { Transform, type Readable, type TransformCallback } from 'node:stream'
import type { HostCommand } from '../host.ts'
import { FrameReader } from './frame-reader.ts'
import { channelText } from './remote-script.ts'
import type { SshProcess } from './ssh-process.ts'

/** How much of a program's error stream is kept. */
const mostErrorBytes = 64 * 1024

/** A program on a channel of its own: its input and output are streams. */
export interface Channel {
  readonly process: SshProcess
  readonly stdout: Readable
  /** Process group on the host. */
  readonly group: number
  /** Settles when it is over: the exit code, or undefined where it was cut off. */
  readonly ended: Promise<number | undefined>
  stderr(): string
}

/** The host takes no more channels on this connection. */
export class ChannelRefused extends Error {
  override readonly name = 'ChannelRefused'
}

/** The connection is gone, with these last words. */
export class ChannelCut extends Error {
  override readonly name = 'ChannelCut'
}

/** Runs a program behind a fresh `ssh`. Returns when it has begun. Throws ChannelRefused and ChannelCut. */
export async function startChannel(
  process: SshProcess,
  mark: string,
  command: Pick<HostCommand, 'argv' | 'variables'>,
): Promise<Channel> {
  let said: Buffer = Buffer.alloc(0)
  let code: number | undefined
  const begun = Promise.withResolvers<number>()
  const errors = new FrameReader(process.stderr)
  let group: number | undefined
  void errors
    .read(`${mark}<`, `${mark}>`, (bytes) => {
      said = Buffer.concat([said, bytes])
      const newline = said.indexOf(0x0a)
      if (group === undefined && newline >= 0) {
        group = Number(said.subarray(0, newline).toString())
        said = said.subarray(newline + 1)
        begun.resolve(group)
      }
      if (group !== undefined && said.length > 2 * mostErrorBytes) said = said.subarray(-mostErrorBytes)
    })
    .then((rest) => (code = Number(rest)))
  const stdout = process.stdout.pipe(new AfterMark(`${mark}<`))
  const ended = process.ended.then(() => code)
  process.stdin.write(channelText(mark, command))
  const isCut = ended.then(() => 'cut' as const)
  const first = await Promise.race([begun.promise, isCut])
  if (first !== 'cut')
    return {
      process,
      stdout,
      group: first,
      ended,
      stderr: () => said.subarray(-mostErrorBytes).toString(),
    }
  const words = process.words()
  if (/open refused by peer|open failed|session request failed/i.test(words)) throw new ChannelRefused(words)
  throw new ChannelCut(words)
}

/** Drops what a login prints before the mark. */
class AfterMark extends Transform {
  readonly #mark: Buffer
  #before: Buffer | undefined = Buffer.alloc(0)

  constructor(mark: string) {
    super()
    this.#mark = Buffer.from(mark)
  }

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#before === undefined) {
      done(null, bytes)
      return
    }
    const all = Buffer.concat([this.#before, bytes])
    const at = all.indexOf(this.#mark)
    this.#before = at < 0 ? all.subarray(-this.#mark.length + 1) : undefined
    if (at < 0) done()
    else done(null, all.subarray(at + this.#mark.length))
  }
}
