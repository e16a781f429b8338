import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Environment, JobRequest } from '../../src/environment/environment.ts'
import type { Host } from '../../src/environment/host.ts'
import { noSignal, Trial } from './trial.ts'
import { until } from './until.ts'

/** What a test of pilots needs of a scheduler. */
export interface PilotTrial {
  /** An environment with these pilots, on this host. */
  readonly make: (
    directory: string,
    pilots: Readonly<Record<string, unknown>>,
    watched: (host: Host) => Host,
  ) => Promise<Environment>
  /** The program that submits. */
  readonly submits: string
  /** What the scheduler runs just now, by the numbers that `cancel` takes. */
  readonly running: () => Promise<readonly string[]>
  readonly cancel: (nativeId: string) => Promise<unknown>
}

/** That pilots spare the scheduler submissions, and that jobs of one that is cancelled are told apart from those that wait. */
export function describePilots(
  name: string,
  { make, submits, running, cancel }: PilotTrial,
  patienceMs = 150_000,
): void {
  describe(`pilots of ${name}`, { timeout: patienceMs + 60_000 }, () => {
    let trial: Trial
    let submissions: number
    beforeEach(() => {
      submissions = 0
    })
    afterEach(() => trial.close())

    const watched = (host: Host): Host => ({
      name: host.name,
      sharesFiles: host.sharesFiles,
      run: (command, signal) => {
        if (command.argv.includes(submits)) submissions += 1
        return host.run(command, signal)
      },
      open: (argv, signal) => host.open(argv, signal),
      close: () => host.close(),
    })

    async function use(pilots: Readonly<Record<string, unknown>>): Promise<void> {
      const how = { time: '10 min', idleMs: 2000, ...pilots }
      trial = new Trial((directory) => make(directory, how, watched), patienceMs)
      await trial.open()
    }

    /** A job that writes its id when it runs. */
    const counted = (script: string): JobRequest =>
      trial.shell(`echo "$MOLEHILL_JOB_ID" >> ${join(trial.directory, 'ran')}; ${script}`)
    const ran = (): readonly string[] => {
      const path = join(trial.directory, 'ran')
      return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
    }

    test('100 jobs cost no more submissions than there are pilots, and each runs once', async () => {
      await use({ count: 2, slots: 2 })
      const requests = Array.from({ length: 100 }, () => counted('exit 0'))
      const ends = await trial.waitForAll(await trial.submitAll(requests), patienceMs)
      expect(ends.filter((end) => end.kind !== 'exited' || end.exitCode !== 0)).toEqual([])
      expect([...ran()].sort()).toEqual(requests.map(({ id }) => id).sort())
      expect(submissions).toBeGreaterThanOrEqual(1)
      expect(submissions).toBeLessThanOrEqual(2)
    })

    test('of a pilot that somebody cancels, what runs has ended for that, and what waits runs in the next one', async () => {
      await use({ count: 1, slots: 1 })
      const earlier = await running()
      const handles = await trial.submitAll([counted('exec sleep 600'), counted('exit 3'), counted('exit 3')])
      await trial.waitForRunning(handles[0]!)
      const pilot = await until(
        'the scheduler lists the pilot',
        async () => (await running()).find((id) => !earlier.includes(id)),
        undefined,
        patienceMs,
      )
      await cancel(pilot)
      const ends = await trial.waitForAll(handles, patienceMs)
      expect(ends).toMatchObject([
        { kind: 'stopped', cause: 'node-failure' },
        { kind: 'exited', exitCode: 3 },
        { kind: 'exited', exitCode: 3 },
      ])
      expect(ran()).toHaveLength(3)
      await trial.environment.discard?.(trial.workDirectory, noSignal)
    })
  })
}
