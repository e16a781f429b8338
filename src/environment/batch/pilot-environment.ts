import { createHash } from 'node:crypto'
import { EnvironmentError, type Environment } from '../environment.ts'
import { RunnerEnvironment } from '../runner/runner-environment.ts'
import {
  defaultBatchOptions,
  type BatchEnvironmentOptions,
  type BatchSurroundings,
} from './batch-environment.ts'
import { pilotTimes } from './pilot-script.ts'
import { Pilots } from './pilots.ts'

/** What a script says of pilots. */
export interface PilotMode {
  readonly count: number
  readonly slots: number
  /** Wall time of a pilot, in milliseconds. */
  readonly time: number
  readonly idleMs: number
}

export interface PilotSurroundings extends BatchSurroundings {
  /** The environment's own directory on the server: its queue on the host is named after it. */
  readonly directory: string
  readonly newMark: () => string
}

/**
 * A batch scheduler as an environment that is given pilots instead of jobs: few batch jobs that run many jobs each.
 * Throws EnvironmentError where pilots would have no time for any job.
 */
export function pilotEnvironment(
  name: string,
  surroundings: PilotSurroundings,
  { count, slots, time, idleMs }: PilotMode,
  options: Partial<BatchEnvironmentOptions> = {},
): Environment {
  const all = { ...defaultBatchOptions, ...options }
  const times = pilotTimes(time, idleMs, all.stopGraceMs)
  if (times === undefined)
    throw new EnvironmentError(
      `Pilots of ${time / 1000} s (pilots.time) have no time for jobs: expected more than stopGraceMs, which is ${all.stopGraceMs}.`,
    )
  const workers = new Pilots(surroundings, {
    name: createHash('sha256').update(surroundings.directory).digest('hex').slice(0, 16),
    count,
    slotsEach: slots,
    wallTimeMs: time,
    times,
    defaults: all.defaults,
    submissionsPerMinute: all.submissionsPerMinute,
    exitFileGraceMs: all.exitFileGraceMs,
    newMark: surroundings.newMark,
  })
  const { host, files, now, warn } = surroundings
  const { stopGraceMs, maxQueued, lostAfterOutageMs, pollInterval } = all
  return new RunnerEnvironment(name, {
    host,
    files,
    workers,
    maxActiveJobs: maxQueued,
    ...(lostAfterOutageMs !== undefined && { lostAfterOutageMs }),
    pollInterval,
    stopGraceMs,
    now,
    warn,
  })
}
