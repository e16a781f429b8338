import { Exit } from './failure.ts'
import type { Progress } from './progress.ts'
import { formatSpan } from './table.ts'
import { paint, say, type Terminal } from './terminal.ts'

/** Tells how an execution has ended: in a line, or with its first error in full. */
export function reportEnd(terminal: Terminal, { state, error }: Progress, tookMs?: number): void {
  const span = tookMs === undefined ? '' : ` after ${formatSpan(tookMs)}`
  if (state === 'finished') {
    say(terminal, `${paint(terminal, terminal.stderr, 'green', 'finished')}${span}`)
    return
  }
  say(
    terminal,
    `${paint(terminal, terminal.stderr, 'red', 'failed')}${span}: ${error?.message ?? 'no reason is known'}`,
  )
  if (error?.stackTrace !== undefined && error.stackTrace !== '') say(terminal, indent(error.stackTrace))
}

/** Ends the command with `exitCode` when the execution has failed. */
export function exitWhenFailed({ state }: Progress, exitCode: number): void {
  if (state === 'failed') throw new Exit(exitCode)
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '  ')
}
