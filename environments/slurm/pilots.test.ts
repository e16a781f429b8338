import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { JobHandle, JobRequest } from '../../src/environment/environment.ts'
import { Trial } from '../../test/conformance/trial.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { startSlurm, type Slurm } from '../../test/daemons/slurm.ts'
import { plugin } from './index.ts'

const patienceMs = 150_000

describeWith('slurm', 'pilots on Slurm', () => {
  let slurm: Slurm
  let trial: Trial
  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 2, cpusPerNode: 2, slurmdTimeout: 5 })
  }, 60_000)
  afterAll(() => slurm.stop())
  afterEach(async () => {
    await command('scancel', '--user=root')
    await trial.close()
  })

  const command = (...argv: readonly string[]) => runCommand(argv, { variables: slurm.variables })

  function use(pilots: Readonly<Record<string, unknown>>): Promise<void> {
    const how = { submissionsPerMinute: 60_000, stopGraceMs: 2000, partition: 'main', memory: '20 MB' }
    trial = new Trial((directory) =>
      plugin.create('slurm', plugin.options.parse({ ...how, pilots }), {
        directory,
        variables: { ...process.env, ...slurm.variables },
        now: Date.now,
        warn: () => undefined,
      }),
    )
    return trial.open()
  }

  /** A job that writes its id when it runs. */
  function counted(script: string, more: Partial<JobRequest> = {}): JobRequest {
    return trial.shell(`echo "$MOLEHILL_JOB_ID" >> ${join(trial.directory, 'ran')}; ${script}`, more)
  }
  function runs(): readonly string[] {
    const path = join(trial.directory, 'ran')
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
  }

  const waitForAll = (handles: readonly JobHandle[]) => trial.waitForAll(handles, patienceMs)

  /** Numbers of this test's submissions that Slurm has or had. */
  async function submitted(earlier: readonly string[] = []): Promise<readonly string[]> {
    const all = (await command('squeue', '-h', '-t', 'all', '-o', '%F')).trim().split('\n').filter(Boolean)
    return [...new Set(all)].filter((id) => !earlier.includes(id))
  }

  async function nodeOf(handle: JobHandle): Promise<string> {
    const observation = await trial.observe(handle)
    return observation.kind === 'running' ? (observation.host ?? '') : ''
  }

  test(
    '200 jobs cost Slurm no more submissions than there are pilots',
    async () => {
      const earlier = await submitted()
      await use({ count: 2, slots: 2, time: '10 min', idleMs: 2000 })
      const requests = Array.from({ length: 200 }, () => counted('exit 0'))
      for (const end of await waitForAll(await trial.submitAll(requests)))
        expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
      expect([...runs()].sort()).toEqual(requests.map(({ id }) => id).sort())
      expect((await submitted(earlier)).length).toBeLessThanOrEqual(2)
    },
    patienceMs + 30_000,
  )

  test(
    'an administrator cancels a pilot in the middle: its jobs have not ended by themselves, the others run elsewhere',
    async () => {
      const earlier = await submitted()
      await use({ count: 1, slots: 2, time: '10 min', idleMs: 2000 })
      const handles = await trial.submitAll([
        ...Array.from({ length: 2 }, () => counted('exec sleep 600')),
        ...Array.from({ length: 6 }, () => counted('exit 3')),
      ])
      for (const handle of handles.slice(0, 2)) await trial.waitForRunning(handle)
      expect(await nodeOf(handles[0]!)).not.toBe('')
      const [pilot = ''] = await submitted(earlier)
      await command('scancel', pilot)
      const ends = await waitForAll(handles)
      for (const end of ends.slice(0, 2))
        expect(end).toMatchObject({ kind: 'stopped', cause: 'node-failure' })
      for (const end of ends.slice(2)) expect(end).toMatchObject({ kind: 'exited', exitCode: 3 })
      expect(runs()).toHaveLength(8)
    },
    patienceMs + 30_000,
  )

  test(
    'the time of pilots ends in the middle of many jobs, and the server in the middle of that',
    async () => {
      await use({ count: 2, slots: 2, time: '20 s', idleMs: 2000 })
      const requests = Array.from({ length: 60 }, () =>
        counted('sleep 1', { resources: { wallTimeMs: 8000 } }),
      )
      const handles = await trial.submitAll(requests)
      await trial.waitForRunning(handles[4]!)
      await trial.environment.close()
      await trial.open()
      for (const end of await waitForAll(handles)) expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
      expect([...runs()].sort()).toEqual(requests.map(({ id }) => id).sort())
    },
    patienceMs + 30_000,
  )
})
