/**
 * Takes the times from a log that was asked for with `timestamps`, and leaves out lines that an earlier piece of the
 * same log has told already. Feed it all pieces of one container's log in turn, and say `again` before each new one.
 */
export class LogLines {
  /** With nanoseconds, in UTC, so that times sort as texts. */
  #lastTime = ''
  /** How many lines with this time were told. */
  #told = 0
  /** How many of them are to be left out now. */
  #toSkip = 0
  #isRepeat = false
  #rest: Buffer = Buffer.alloc(0)

  /** From when on a log must be asked for to miss nothing; undefined for the beginning. Whole seconds (RFC 3339). */
  get sinceTime(): string | undefined {
    return this.#lastTime === '' ? undefined : `${this.#lastTime.slice(0, 19)}Z`
  }

  /** Before a piece that begins at `sinceTime`. A line that was cut is thrown away: it comes again as a whole. */
  again(): void {
    this.#rest = Buffer.alloc(0)
    this.#toSkip = this.#told
  }

  /** The new lines in the chunk, without their times. */
  take(chunk: Buffer): Buffer {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const kept: Buffer[] = []
    let from = 0
    for (;;) {
      const end = bytes.indexOf(10, from)
      if (end < 0) break
      const line = this.#withoutTime(bytes.subarray(from, end + 1))
      if (line !== undefined) kept.push(line)
      from = end + 1
    }
    this.#rest = Buffer.from(bytes.subarray(from))
    if (this.#rest.length > mostLineBytes) kept.push(this.end())
    return Buffer.concat(kept)
  }

  /** What is left of a log whose end is known: a last line without an end. */
  end(): Buffer {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    return rest.length === 0 ? rest : (this.#withoutTime(rest) ?? Buffer.alloc(0))
  }

  #withoutTime(line: Buffer): Buffer | undefined {
    const space = line.indexOf(32)
    const time = space < 0 ? '' : line.toString('latin1', 0, space)
    // What goes on without a time belongs to the line before.
    if (isTime.test(time)) this.#isRepeat = this.#wasTold(sortable(time))
    if (this.#isRepeat) return undefined
    return isTime.test(time) ? joined(line.subarray(space + 1)) : line
  }

  #wasTold(time: string): boolean {
    if (time < this.#lastTime) return true
    if (time === this.#lastTime && this.#toSkip > 0) {
      this.#toSkip -= 1
      return true
    }
    this.#told = time === this.#lastTime ? this.#told + 1 : 1
    this.#toSkip = 0
    this.#lastTime = time
    return false
  }
}

/** Longer ones are told in pieces. */
const mostLineBytes = 2 ** 20
/** How much of a line the runtimes keep in one piece: 8 KiB or 16 KiB. */
const pieceBytes = 8192
/** Room for a time and the space after it. */
const timeBytes = 40

/** A long line without the times that kubelets before 1.27 give to each of its pieces. */
function joined(line: Buffer): Buffer {
  if (line.length <= pieceBytes) return line
  const kept: Buffer[] = []
  let rest = line
  while (rest.length > pieceBytes) {
    kept.push(rest.subarray(0, pieceBytes))
    rest = rest.subarray(pieceBytes)
    const space = rest.subarray(0, timeBytes).indexOf(32)
    if (space > 0 && isTime.test(rest.toString('latin1', 0, space))) rest = rest.subarray(space + 1)
  }
  return Buffer.concat([...kept, rest])
}

const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/

/** Go leaves out zeros at the end of a fraction, and kubelets tell their own zone. */
function sortable(time: string): string {
  const [, fraction = ''] = /\.(\d+)/.exec(time) ?? []
  const whole = new Date(time.replace(/\.\d+/, '')).toISOString().slice(0, 19)
  return `${whole}.${fraction.padEnd(9, '0')}`
}
