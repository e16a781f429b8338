import type { Readable } from 'node:stream'
import { EnvironmentError } from '../environment.ts'
import type { Host, HostPriority } from '../host.ts'

export interface HostScript {
  /** For messages: `reading exit files`. */
  readonly what: string
  /** Bash text; what it prints is the answer. Fails with another exit code than 0 and says why on standard error. */
  readonly text: string
  /** Absolute path of the directory that all the text does lies in: becomes `$1`, and stands in messages. */
  readonly below?: string
  /** Become the next of `$1`, `$2` ... Lists that may be long go through `input`. */
  readonly words?: readonly string[]
  readonly input?: string | Readable
  readonly timeoutMs?: number
  readonly priority?: HostPriority
}

/** The command that runs bash text, in the C locale and without start-up files. */
export function bashCommand(text: string, words: readonly string[] = []): readonly string[] {
  return ['bash', '--noprofile', '--norc', '-c', `export LC_ALL=C\n${text}`, 'molehill', ...words]
}

/**
 * Runs bash text on the host and gives what it printed. Text that a login prints before or after is left out: the
 * answer stands between two lines with `mark`.
 *
 * @throws EnvironmentError when the host cannot be asked, the text fails, or the answer has no end.
 */
export async function runScript(
  host: Host,
  script: HostScript,
  mark: string,
  signal: AbortSignal,
): Promise<string> {
  const { what, below, words = [] } = script
  const text = `printf '%s\\n' ${mark}-begin\n${script.text}\nprintf '%s\\n' ${mark}-end`
  const { exitCode, stdout, stderr } = await host.run(
    {
      argv: bashCommand(text, below === undefined ? words : [below, ...words]),
      ...(script.input !== undefined && { input: script.input }),
      ...(script.timeoutMs !== undefined && { timeoutMs: script.timeoutMs }),
      ...(script.priority !== undefined && { priority: script.priority }),
    },
    signal,
  )
  const begin = stdout.indexOf(`${mark}-begin\n`)
  const end = stdout.lastIndexOf(`${mark}-end\n`)
  if (exitCode !== 0 || begin < 0 || end < begin)
    throw new EnvironmentError(
      `${host.name}: ${what}${below === undefined ? '' : ` below ${below}`} failed${exitCode === 0 ? ': the answer is cut short' : ` with exit code ${exitCode}`}. ${lastLines(stderr)}`.trim(),
    )
  return stdout.slice(begin + mark.length + '-begin\n'.length, end)
}

/** The end of what a program complained about, on one line. */
export function lastLines(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, ' ')
  return line.length > 500 ? `...${line.slice(-500)}` : line
}
