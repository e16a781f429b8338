import { createRates, describeProgress, drawProgress, type Progress } from './progress.ts'
import { canRedraw, print, type Terminal } from './terminal.ts'

/** Shows progress on the message side, and lets data through without mixing the two. */
export interface ProgressDisplay {
  show(progress: Progress): void
  /** Writes data to stdout; bars are taken away and drawn again around it. */
  write(text: string): Promise<void>
  /** Leaves the last bars standing. */
  close(): void
}

const lineIntervalMs = 5000

/** Bars that are drawn over on a terminal; elsewhere one line every five seconds when something has changed. */
export function createProgressDisplay(terminal: Terminal): ProgressDisplay {
  return canRedraw(terminal) ? createBars(terminal) : createLines(terminal)
}

function createBars(terminal: Terminal): ProgressDisplay {
  const { stderr, now } = terminal
  const rates = createRates()
  let bars: string[] = []
  let drawn = 0
  const draw = () => {
    // Up to the first bar, clear to the end of the screen (ECMA-48 CPL and ED).
    const clear = drawn > 0 ? `\u001B[${drawn}F\u001B[0J` : ''
    stderr.write(clear + bars.map((bar) => `${bar}\n`).join(''))
    drawn = bars.length
  }
  return {
    show({ capsules }) {
      rates.note(capsules, now())
      const rows = Math.max(1, (stderr.rows ?? 24) - 2)
      bars = drawProgress(capsules, rates, (stderr.columns ?? 80) - 1).slice(0, rows)
      draw()
    },
    async write(text) {
      const shown = bars
      // Data that ends inside a line would be drawn over.
      const isShared = terminal.stdout.isTTY === true
      if (isShared) {
        bars = []
        draw()
      }
      await print(terminal, text)
      if (isShared && !text.endsWith('\n')) await print(terminal, '\n')
      bars = shown
      if (isShared) draw()
    },
    close() {
      drawn = 0
      bars = []
    },
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
      terminal.stderr.write(`${line}\n`)
    },
    write: (text) => print(terminal, text),
    close() {
      lastLine = ''
    },
  }
}
