import { quote } from '../quote.ts'
import { programPath } from '../runner/runner.ts'

/** One submission of pilots. Times are whole seconds. */
export interface PilotScript {
  readonly directives: readonly string[]
  /** Shell text that becomes the pilot's number, counted from 0. */
  readonly index: string
  /** Absolute path on the host. */
  readonly base: string
  /** Of the queue. */
  readonly name: string
  /** Of the submission. */
  readonly batch: string
  readonly slots: number
  readonly times: PilotTimes
}

export interface PilotTimes {
  /** How long jobs may go on after they were asked to end. */
  readonly grace: number
  /** How long a pilot stays that has nothing to do. */
  readonly idle: number
  /** How long after its start all jobs of a pilot must be over. */
  readonly work: number
  /** What a job that says nothing of its time must have left when it begins. */
  readonly spare: number
}

/** Longest job that a pilot takes, in seconds: a little of its time is gone before it begins the first one. */
export function longestJob({ work }: PilotTimes): number {
  return work - reserveOf(work)
}

/** The times of pilots with this wall time, all in milliseconds; undefined where nothing is left for jobs. */
export function pilotTimes(wallTimeMs: number, idleMs: number, stopGraceMs: number): PilotTimes | undefined {
  const wallTime = Math.floor(wallTimeMs / 1000)
  const grace = Math.ceil(stopGraceMs / 1000)
  const work = wallTime - grace - reserveOf(wallTime)
  if (work - reserveOf(work) < 1) return undefined
  return { grace, idle: Math.ceil(idleMs / 1000), work, spare: Math.ceil(work / 10) }
}

/** For what schedulers and shells take to begin and to end. */
function reserveOf(seconds: number): number {
  return Math.min(30, Math.ceil(seconds / 20))
}

/** The script of a pilot: it becomes a runner, whose jobs end before the scheduler ends the pilot. */
export function pilotScript({ directives, index, base, name, batch, slots, times }: PilotScript): string {
  const { grace, idle, work, spare } = times
  return [
    '#!/bin/bash',
    ...directives,
    `cd -- ${quote(base)} || exit 1`,
    `molehill_pilot=${batch}/"${index}"`,
    `mkdir -p -- "runners/${name}/pilots/$molehill_pilot" || exit 1`,
    "printf -v molehill_now '%(%s)T' -1",
    `exec bash --noprofile --norc ${programPath} "$PWD" ${name} ${slots} ${grace} ${idle} "$(( molehill_now + ${work} ))" ${spare} "$molehill_pilot" </dev/null`,
    '',
  ].join('\n')
}

/**
 * Bash text that deletes what submissions left that ended more than a day ago. `$1` is the base directory, `$2` the
 * name of the queue; the others are submissions that the scheduler still has.
 */
export const tidyText = `cd -- "$1/runners/$2/pilots" || exit 1
shift 2
alive=" $* "
find . -mindepth 1 -maxdepth 1 -mmin +1440 -printf '%f\\n' | while read -r batch; do
  [[ $alive == *" $batch "* ]] || rm -rf -- "$batch"
done`
