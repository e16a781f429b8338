import { formatSpan, oneLine } from './table.ts'

/** How far an execution is, from wherever it is known. */
export interface Progress {
  readonly state: 'running' | 'finished' | 'failed'
  readonly capsules: readonly CapsuleProgress[]
  readonly error?: { readonly message: string; readonly stackTrace?: string | undefined } | undefined
}

export interface CapsuleProgress {
  readonly name: string
  readonly ready: number
  readonly running: number
  readonly completed: number
  readonly failed: number
}

/** Jobs that ended per second, by capsule. */
export interface Rates {
  /** Takes note of where the capsules stand at the time `now` (milliseconds). */
  note(capsules: readonly CapsuleProgress[], now: number): void
  perSecond(capsule: string): number
}

const windowMs = 30_000

/** Rates over the last half minute, or since the first job ended when that is less. */
export function createRates(): Rates {
  const history = new Map<string, { time: number; ended: number }[]>()
  return {
    note(capsules, now) {
      for (const { name, completed, failed } of capsules) {
        const points = history.get(name) ?? []
        const ended = completed + failed
        const last = points.at(-1)
        // While nothing has ended the clock does not run: waiting for an earlier capsule says nothing of this one.
        if (ended === 0) points.length = 0
        if (last === undefined || ended === 0 || now - last.time >= windowMs / 100)
          points.push({ time: now, ended })
        while ((points[1]?.time ?? now) < now - windowMs) points.shift()
        history.set(name, points)
      }
    },
    perSecond(capsule) {
      const points = history.get(capsule) ?? []
      const [first] = points
      const last = points.at(-1)
      if (first === undefined || last === undefined || last.time <= first.time) return 0
      return ((last.ended - first.ended) * 1000) / (last.time - first.time)
    },
  }
}

/** One line a capsule: name, bar, counts, rate and the time left. At most `width` characters each. */
export function drawProgress(capsules: readonly CapsuleProgress[], rates: Rates, width: number): string[] {
  const nameWidth = Math.min(Math.max(...capsules.map(({ name }) => name.length), 0), 24)
  const barWidth = Math.max(8, Math.min(30, width - nameWidth - 50))
  return capsules.map((capsule) => {
    const name = oneLine(capsule.name).slice(0, nameWidth).padEnd(nameWidth)
    const { completed, failed } = capsule
    const total = completed + failed + capsule.ready + capsule.running
    const filled = total === 0 ? 0 : Math.floor(((completed + failed) / total) * barWidth)
    const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`
    return `${name} ${bar} ${describeCapsule(capsule, rates)}`.slice(0, width)
  })
}

/** One line for where nothing can be redrawn: `model 12/100, 4 running, 3.1/s, 28 s left`. */
export function describeProgress(capsules: readonly CapsuleProgress[], rates: Rates): string {
  const begun = capsules.filter(
    ({ ready, running, completed, failed }) => ready + running + completed + failed > 0,
  )
  return begun.map((capsule) => `${oneLine(capsule.name)} ${describeCapsule(capsule, rates)}`).join('; ')
}

function describeCapsule({ name, ready, running, completed, failed }: CapsuleProgress, rates: Rates): string {
  const left = ready + running
  const rate = rates.perSecond(name)
  return [
    `${completed}/${completed + failed + left}`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(running > 0 ? [`${running} running`] : []),
    ...(left > 0 && rate > 0 ? [formatRate(rate), `${formatSpan((left * 1000) / rate)} left`] : []),
  ].join(', ')
}

function formatRate(perSecond: number): string {
  if (perSecond >= 100) return `${Math.round(perSecond)}/s`
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`
  return perSecond * 60 >= 1 ? `${(perSecond * 60).toFixed(1)}/min` : `${(perSecond * 3600).toFixed(1)}/h`
}
