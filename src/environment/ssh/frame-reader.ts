import type { Readable } from 'node:stream'

interface Frame {
  readonly begin: Buffer
  readonly end: Buffer
  readonly take: (bytes: Buffer) => void
  readonly resolve: (rest: string) => void
  state: 'before' | 'inside' | 'after'
}

/**
 * Takes answers out of a stream that others may write to as well, such as a login's greeting: each stands between two
 * marks that nobody can guess. What lies outside is dropped.
 */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)
  #frame: Frame | undefined

  constructor(source: Readable) {
    source.on('data', (bytes: Buffer) => {
      this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
      this.#read()
    })
  }

  /** Gives `take` what comes between the marks; resolves with what follows the second on its line. One at a time. */
  read(begin: string, end: string, take: (bytes: Buffer) => void): Promise<string> {
    return new Promise((resolve) => {
      this.#frame = { begin: Buffer.from(begin), end: Buffer.from(end), take, resolve, state: 'before' }
      this.#read()
    })
  }

  #read(): void {
    const frame = this.#frame
    if (frame === undefined) this.#rest = Buffer.alloc(0)
    if (frame?.state === 'before' && this.#skip(frame.begin, ignore)) frame.state = 'inside'
    if (frame?.state === 'inside' && this.#skip(frame.end, frame.take)) frame.state = 'after'
    if (frame?.state !== 'after') return
    const newline = this.#rest.indexOf(0x0a)
    if (newline < 0) return
    const rest = this.#rest.subarray(0, newline).toString()
    this.#rest = this.#rest.subarray(newline + 1)
    this.#frame = undefined
    frame.resolve(rest)
  }

  /** Passes on what comes before the mark, and drops the mark. Returns whether it was there. */
  #skip(mark: Buffer, take: (bytes: Buffer) => void): boolean {
    const at = this.#rest.indexOf(mark)
    const length = at < 0 ? this.#rest.length - lengthOfBegunMark(this.#rest, mark) : at
    if (length > 0) take(this.#rest.subarray(0, length))
    this.#rest = this.#rest.subarray(at < 0 ? length : at + mark.length)
    return at >= 0
  }
}

/** How many of the last bytes may be the beginning of the mark. */
function lengthOfBegunMark(bytes: Buffer, mark: Buffer): number {
  for (let length = Math.min(bytes.length, mark.length - 1); length > 0; length -= 1)
    if (mark.subarray(0, length).equals(bytes.subarray(-length))) return length
  return 0
}

function ignore(): void {
  // What others wrote into the stream.
}
