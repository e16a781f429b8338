import { createOutputTail } from './output-tail.ts'
import type { Progress } from './progress.ts'
import { createProgressDisplay } from './progress-display.ts'
import { print, type Terminal } from './terminal.ts'

/** An execution that can be watched, here or on a server. */
export interface Watched {
  progress(): Promise<Progress>
  /** All of its output so far; it may be some looks old while the execution has not ended. */
  output(hasEnded: boolean): Promise<string>
  /** Resolves when it makes sense to look again. */
  wait(): Promise<void>
}

/**
 * Shows bars on stderr and, with `output`, passes the output on to stdout, until the execution has ended.
 */
export async function follow(
  terminal: Terminal,
  watched: Watched,
  { output }: { readonly output: boolean },
): Promise<Progress> {
  const display = createProgressDisplay(terminal)
  const tail = createOutputTail()
  try {
    for (;;) {
      const progress = await watched.progress()
      display.show(progress)
      const hasEnded = progress.state !== 'running'
      if (output) {
        const text = await watched.output(hasEnded)
        await print(terminal, hasEnded ? wholeLines(terminal, tail.rest(text)) : tail.next(text))
      }
      if (hasEnded) return progress
      await watched.wait()
    }
  } finally {
    display.close()
  }
}

/** On a terminal the bars begin on a line of their own. */
function wholeLines({ stdout }: Terminal, text: string): string {
  return stdout.isTTY === true && text !== '' && !text.endsWith('\n') ? `${text}\n` : text
}
