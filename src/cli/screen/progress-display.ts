import { createRates, describeProgress, drawProgress, type Progress } from './progress.ts'
import { canRedraw, leaveFooter, say, setFooter, type Terminal } from './terminal.ts'

/** Shows progress on the message side. */
export interface ProgressDisplay {
  show(progress: Progress): void
  /** Leaves the last bars standing. */
  close(): void
}

const lineIntervalMs = 5000

/** Bars that are drawn over on a terminal; elsewhere one line every five seconds when something has changed. */
export function createProgressDisplay(terminal: Terminal): ProgressDisplay {
  return canRedraw(terminal) ? createBars(terminal) : createLines(terminal)
}

function createBars(terminal: Terminal): ProgressDisplay {
  const rates = createRates()
  return {
    show({ capsules }) {
      rates.note(capsules, terminal.now())
      // A terminal that does not know its size says 0.
      const columns = terminal.stderr.columns || 80
      const rows = terminal.stderr.rows || 24
      // Lines that have left the screen cannot be drawn over.
      setFooter(terminal, drawProgress(capsules, rates, columns - 1).slice(0, Math.max(1, rows - 2)))
    },
    close: () => leaveFooter(terminal),
  }
}

function createLines(terminal: Terminal): ProgressDisplay {
  const rates = createRates()
  let lastLine = ''
  let lastTime = Number.NEGATIVE_INFINITY
  return {
    show({ capsules, state }) {
      const time = terminal.now()
      rates.note(capsules, time)
      const isDue = time - lastTime >= lineIntervalMs || state !== 'running'
      const line = describeProgress(capsules, rates)
      if (!isDue || line === lastLine || line === '') return
      lastLine = line
      lastTime = time
      say(terminal, line)
    },
    close: () => undefined,
  }
}
