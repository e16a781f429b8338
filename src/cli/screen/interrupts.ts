import { constants } from 'node:os'
import { Exit } from './failure.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** What is told to a person who interrupts a command. */
export interface InterruptMessages {
  readonly first?: () => void
  readonly second?: () => void
}

/**
 * Does `work` so that it can be interrupted: the first Ctrl-C, or another request to stop, aborts its signal with the
 * Exit that shells expect, such as 130; the second one leaves at once.
 */
export async function interruptible<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { first, second }: InterruptMessages = {},
): Promise<Result> {
  const stop = new AbortController()
  const interrupt = (name: (typeof signals)[number]) => {
    const exitCode = 128 + constants.signals[name]
    if (stop.signal.aborted) {
      second?.()
      process.exit(exitCode)
    }
    first?.()
    stop.abort(new Exit(exitCode))
  }
  for (const name of signals) process.on(name, interrupt)
  try {
    return await work(stop.signal)
  } catch (error) {
    // Whatever an abort makes fail, the abort is the reason.
    stop.signal.throwIfAborted()
    throw error
  } finally {
    for (const name of signals) process.off(name, interrupt)
  }
}
