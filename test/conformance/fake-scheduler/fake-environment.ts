import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  batchEnvironment,
  type BatchEnvironmentOptions,
} from '../../../src/environment/batch/batch-environment.ts'
import { pilotEnvironment, type PilotMode } from '../../../src/environment/batch/pilot-environment.ts'
import { commandQueue } from '../../../src/environment/batch/command-queue.ts'
import type { Environment } from '../../../src/environment/environment.ts'
import type { Host } from '../../../src/environment/host.ts'
import { openJobFiles } from '../../../src/environment/job-files/open-job-files.ts'
import { LocalHost } from '../../../src/environment/local-host.ts'
import { fakeScheduler } from './fake-scheduler.ts'

export interface FakeEnvironmentOptions {
  readonly sharesFiles: boolean
  readonly options?: Partial<BatchEnvironmentOptions>
  readonly pilots?: PilotMode
  /** Comes between the environment and the host. */
  readonly through?: (host: Host) => Host
  readonly warn?: (message: string) => void
}

/** The directory in which the fake scheduler of such an environment keeps its state. */
export function fakeState(directory: string): string {
  return join(directory, 'queue')
}

/** A batch environment with the fake scheduler on this computer; all of it lies in the directory. */
export function fakeEnvironment(
  directory: string,
  { sharesFiles, options, pilots, through, warn }: FakeEnvironmentOptions,
): Environment {
  mkdirSync(join(directory, 'own'), { recursive: true })
  const local = new LocalHost({
    variables: { PATH: process.env['PATH'] ?? '', HOME: directory, LANG: 'tr_TR.UTF-8' },
    sharesFiles,
  })
  const host = through?.(local) ?? local
  const newMark = (): string => randomBytes(8).toString('hex')
  const scheduler = fakeScheduler(fakeState(directory))
  const files = openJobFiles(host, {
    base: join(directory, 'base'),
    directory: join(directory, 'own'),
    prologue: [],
    newMark,
    now: Date.now,
  })
  const queue = commandQueue(scheduler, host, { newMark, defaults: {} })
  const surroundings = { host, queue, scheduler, files, now: Date.now, warn: warn ?? (() => undefined) }
  const all = {
    stopGraceMs: 200,
    exitFileGraceMs: 1500,
    causeGraceMs: 1500,
    submissionsPerMinute: 10_000,
    pollInterval: { minMs: 20, maxMs: 200, stepMs: 20 },
    retryMs: 5000,
    ...options,
  }
  return pilots === undefined
    ? batchEnvironment('fake', surroundings, all)
    : pilotEnvironment('fake', { ...surroundings, directory, newMark }, pilots, all)
}
