import { PassThrough, Writable } from 'node:stream'
import type { ReadStream } from 'node:tty'
import type { Terminal } from '../../src/cli/screen/terminal.ts'

export interface FakeTerminal extends Terminal {
  /** What was written so far. */
  readonly written: { stdout: string; stderr: string }
  /** What the clock shows, in milliseconds. */
  time: number
}

/** A terminal that keeps what is written to it. */
export function fakeTerminal(
  options: { isTTY?: boolean; variables?: Record<string, string>; currentDirectory?: string } = {},
): FakeTerminal {
  const { isTTY = false, variables = {}, currentDirectory = process.cwd() } = options
  const written = { stdout: '', stderr: '' }
  const screen = (name: 'stdout' | 'stderr') =>
    Object.assign(
      new Writable({
        decodeStrings: false,
        write(chunk: string | Buffer, _encoding, done) {
          written[name] += chunk.toString()
          done()
        },
      }),
      { isTTY, columns: 80, rows: 24 },
    )
  const terminal: FakeTerminal = {
    stdin: new PassThrough() as unknown as ReadStream,
    stdout: screen('stdout'),
    stderr: screen('stderr'),
    variables,
    currentDirectory,
    written,
    time: 0,
    now: () => terminal.time,
    footer: { lines: [] },
  }
  return terminal
}
