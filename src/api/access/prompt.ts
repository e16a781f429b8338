import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import type { ReadStream, WriteStream } from 'node:tty'
import { Problem } from '../../problem.ts'

/** Asks a person for a secret. */
export type Prompt = (question: string) => Promise<string>

/** A prompt on the terminal that does not show what is typed, or undefined where there is no terminal. */
export function terminalPrompt(
  input: ReadStream = process.stdin,
  output: WriteStream = process.stderr,
): Prompt | undefined {
  if (!input.isTTY || !output.isTTY) return undefined
  return async (question) => {
    const silence = new Writable({
      write(_chunk, _encoding, done) {
        done()
      },
    })
    const lines = createInterface({ input, output: silence, terminal: true, historySize: 0 })
    const given = new AbortController()
    lines.once('SIGINT', () => given.abort())
    lines.once('close', () => given.abort())
    output.write(question)
    try {
      return await lines.question('', { signal: given.signal })
    } catch (cause) {
      throw new Problem('password-missing', 'No password was typed.', { cause })
    } finally {
      output.write('\n')
      lines.close()
    }
  }
}
