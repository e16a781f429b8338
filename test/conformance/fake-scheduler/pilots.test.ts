import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PilotMode } from '../../../src/environment/batch/pilot-environment.ts'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../../src/environment/environment.ts'
import type { Host, HostCommand, HostResult } from '../../../src/environment/host.ts'
import { noSignal, Trial } from '../trial.ts'
import { until } from '../until.ts'
import { fakeEnvironment, fakeState } from './fake-environment.ts'

let trial: Trial
let state: string
let warnings: string[]
/** What happens around each submission. */
let around: ((scriptPath: string, run: () => Promise<HostResult>) => Promise<HostResult>) | undefined

beforeEach(() => {
  around = undefined
  warnings = []
})
afterEach(async () => {
  around = undefined
  for (const name of ['hold', 'refuse']) rmSync(join(state, name), { force: true })
  await trial.close()
})

async function use(more: Partial<PilotMode> = {}): Promise<void> {
  const pilots = { count: 2, slots: 2, time: 3_600_000, idleMs: 1000, ...more }
  const warn = (message: string) => warnings.push(message)
  trial = new Trial(async (directory) =>
    fakeEnvironment(directory, { sharesFiles: true, pilots, through, warn }),
  )
  state = fakeState(trial.ownDirectory)
  mkdirSync(state, { recursive: true })
  await trial.open()
}

function through(host: Host): Host {
  return {
    name: host.name,
    sharesFiles: host.sharesFiles,
    run: (command, signal) => {
      const path = submittedScript(command)
      const run = () => host.run(command, signal)
      return path === undefined || around === undefined ? run() : around(path, run)
    },
    open: (argv, signal) => host.open(argv, signal),
    close: () => host.close(),
  }
}

function submittedScript({ argv }: HostCommand): string | undefined {
  const at = argv.findIndex((word) => word.endsWith('/queue.sh'))
  return argv[at + 1] === 'submit' ? argv[at + 3] : undefined
}

const set = (name: string, text = ''): void => writeFileSync(join(state, name), text)
const alive = (): readonly string[] =>
  existsSync(join(state, 'jobs')) ? readdirSync(join(state, 'jobs')) : []
const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')
/** How many submissions there were, by the scheduler's own count. */
const submissions = (): number => Number(textOf(join(state, 'counter')))
const queue = (verb: string, pilot: string): Buffer =>
  execFileSync('bash', [fileURLToPath(new URL('queue.sh', import.meta.url)), verb, state, pilot])

/** A job that writes a line when it runs, then does this. */
function counted(script: string, more: Partial<JobRequest> = {}): JobRequest {
  return trial.shell(`echo "$MOLEHILL_JOB_ID" >> ${join(trial.directory, 'ran')}; ${script}`, more)
}
const runs = (): readonly string[] => textOf(join(trial.directory, 'ran')).split('\n').filter(Boolean)

const waitForAll = (handles: readonly JobHandle[]) => trial.waitForAll(handles, 90_000)

/** Who ran a job, by its files. */
function pilotOf({ id, state: { key } }: JobHandle): string | undefined {
  const path = join(trial.ownDirectory, 'base/executions', String(key), 'jobs', id, 'started')
  return /\npilot (\S+)\n/.exec(textOf(path))?.[1]
}

const good = { kind: 'exited', exitCode: 0 }

describe('pilots', { timeout: 120_000 }, () => {
  test('200 jobs cost no more places in the queue than there are pilots, and end when nothing comes', async () => {
    await use()
    const requests = Array.from({ length: 200 }, () => counted('exit 0'))
    const handles = await trial.submitAll(requests)
    for (const end of await waitForAll(handles)) expect(end).toMatchObject(good)
    expect([...runs()].sort()).toEqual(requests.map(({ id }) => id).sort())
    expect(submissions()).toBeLessThanOrEqual(2)
    await until('the pilots are gone', () => (alive().length === 0 ? true : undefined), alive, 30_000)
  })

  test('there are no more of them than the jobs need, nor more than allowed', async () => {
    await use()
    set('hold')
    await trial.submitAll([trial.shell('exit 0')])
    expect(alive()).toHaveLength(1)
    const handles = await trial.submitAll(Array.from({ length: 20 }, () => trial.shell('exit 0')))
    expect(alive()).toHaveLength(2)
    await trial.environment.observe(handles, noSignal)
    expect(alive()).toHaveLength(2)
  })

  test.each([
    ['in one array', 'largest'],
    ['of one user', 'room'],
  ])('a scheduler that takes fewer %s gets fewer, and jobs run', async (_, limit) => {
    await use({ count: 3, slots: 1 })
    set(limit, '2')
    const handles = await trial.submitAll(Array.from({ length: 6 }, () => counted('sleep 1')))
    for (const end of await waitForAll(handles)) expect(end).toMatchObject(good)
    expect(runs()).toHaveLength(6)
    rmSync(join(state, limit))
  })

  test.each(['cancel', 'kill'])(
    'a pilot ends in the middle by %s: its jobs have not ended by themselves, the others run elsewhere, each once',
    async (verb) => {
      await use({ count: 1 })
      const handles = await trial.submitAll([
        ...Array.from({ length: 2 }, () => counted('exec sleep 600')),
        ...Array.from({ length: 10 }, () => counted('exit 0')),
      ])
      const [first, second] = handles
      await trial.waitForRunning(first!)
      await trial.waitForRunning(second!)
      queue(verb, alive()[0]!)
      const ends = await waitForAll(handles)
      for (const end of ends.slice(0, 2))
        expect(end).toMatchObject({ kind: 'stopped', cause: 'node-failure' })
      for (const end of ends.slice(2)) expect(end).toMatchObject(good)
      expect(new Set(runs()).size).toBe(12)
      expect(runs()).toHaveLength(12)
      expect(submissions()).toBe(2)
    },
  )

  test('what does not fit before the end of a pilot waits for the next one; what is shorter does not wait for it', async () => {
    // Of 12 s, 1 s is for the end of jobs and 1 s for the pilot's own end.
    await use({ count: 1, slots: 1, time: 12_000 })
    const long = { resources: { wallTimeMs: 8000 } }
    const handles = await trial.submitAll([
      counted('sleep 3', long),
      counted('sleep 3', long),
      counted('exit 0', { resources: { wallTimeMs: 1000 } }),
    ])
    for (const end of await waitForAll(handles)) expect(end).toMatchObject(good)
    const [first, second, short] = handles.map(pilotOf)
    expect(short).toBe(first)
    expect(second).not.toBe(first)
    expect(runs()).toHaveLength(3)
  })

  test('the time of pilots ends in the middle of many jobs: all of them run, each once', async () => {
    await use({ count: 2, slots: 2, time: 8000 })
    const requests = Array.from({ length: 40 }, () =>
      counted('sleep 0.8', { resources: { wallTimeMs: 3000 } }),
    )
    const handles = await trial.submitAll(requests)
    for (const end of await waitForAll(handles)) expect(end).toMatchObject(good)
    expect([...runs()].sort()).toEqual(requests.map(({ id }) => id).sort())
    expect(new Set(handles.map(pilotOf)).size).toBeGreaterThan(2)
  })

  test('a job that says nothing of its time is given up when its pilot has none left', async () => {
    await use({ count: 1, time: 6000 })
    const handle = await trial.submit(trial.shell('echo begun; exec sleep 600'))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'node-failure' })
    expect((await trial.collect(handle)).stdout).toBe('begun\n')
  })

  test('refuses what is longer or larger than a pilot, with a sentence', async () => {
    await use()
    const long = trial.shell('exit 0', { resources: { wallTimeMs: 3_600_000 } })
    const large = trial.shell('exit 0', { resources: { cpus: 3 } })
    const outcomes = await trial.environment.submit([long, large], noSignal)
    expect(outcomes.get(long.id)).toMatchObject({
      kind: 'rejected',
      reason: expect.stringContaining('longer than the'),
    })
    expect(outcomes.get(large.id)).toMatchObject({
      kind: 'rejected',
      reason: expect.stringContaining('3 processors'),
    })
    expect(submissions()).toBe(0)
  })

  test('a scheduler that refuses pilots refuses their jobs, in its own words', async () => {
    await use()
    set('refuse', 'no such account')
    for (const request of [trial.shell('exit 0'), trial.shell('exit 0')]) {
      const outcomes = await trial.environment.submit([request], noSignal)
      expect(outcomes.get(request.id)).toMatchObject({
        kind: 'rejected',
        reason: expect.stringContaining('no such account'),
      })
    }
  })

  test('pilots that were refused for something else than their number are submitted together later', async () => {
    await use({ count: 4, slots: 1 })
    set('refuse', 'no such account')
    const requests = Array.from({ length: 4 }, () => trial.shell('exit 0'))
    const kinds = async () => {
      const outcomes = await trial.environment.submit(requests, noSignal)
      return requests.map(({ id }) => outcomes.get(id)?.kind)
    }
    expect(await kinds()).toEqual(Array(4).fill('rejected'))
    rmSync(join(state, 'refuse'))
    set('hold')
    await until(
      'pilots are tried again',
      async () => (await kinds()).every((kind) => kind === 'accepted') || undefined,
      alive,
      30_000,
    )
    expect(alive()).toHaveLength(4)
    expect(submissions()).toBe(1)
    await trial.environment.discard?.(trial.workDirectory, noSignal)
  })

  test('a scheduler that takes no more for now is asked again', async () => {
    await use()
    set('refuse', 'over quota')
    const handle = await trial.submit(trial.shell('exit 0'))
    expect(await trial.observe(handle)).toMatchObject({ kind: 'queued' })
    rmSync(join(state, 'refuse'))
    expect(await trial.waitForEnd(handle)).toMatchObject(good)
    expect(warnings.join()).toContain('over quota')
  })

  test('a submission whose answer is lost is not made again', async () => {
    await use({ count: 1 })
    set('hold')
    around = async (_, run) => {
      await run()
      throw new EnvironmentError('the connection was cut')
    }
    const handle = await trial.submit(counted('exit 0'))
    await trial.observe(handle)
    expect(alive()).toHaveLength(1)
    rmSync(join(state, 'hold'))
    expect(await trial.waitForEnd(handle)).toMatchObject(good)
    expect(submissions()).toBe(1)
  })

  test('pilots that end before they run a job are not submitted again and again', async () => {
    await use({ count: 1 })
    around = (path, run) => {
      writeFileSync(path, 'exit 1\n')
      return run()
    }
    const handle = await trial.submit(trial.shell('exit 0'))
    for (let round = 0; round < 5; round += 1) {
      await until('the pilot is gone', () => (alive().length === 0 ? true : undefined), alive, 30_000)
      expect(await trial.observe(handle)).toMatchObject({ kind: 'queued' })
    }
    expect(submissions()).toBe(1)
    around = undefined
    expect(await trial.waitForEnd(handle)).toMatchObject(good)
  })

  test('the next life of the server follows pilots and jobs, and submits no more than are missing', async () => {
    await use({ count: 1, slots: 1, idleMs: 3000 })
    const mark = join(trial.directory, 'mark')
    const handles = await trial.submitAll([
      counted(`while [ ! -e ${mark} ]; do sleep 0.05; done`),
      ...Array.from({ length: 5 }, () => counted('exit 4')),
    ])
    await trial.waitForRunning(handles[0]!)
    await trial.environment.close()
    await trial.open()
    const found = await trial.environment.recover(
      handles.map(({ id }) => id),
      noSignal,
    )
    expect(found).toHaveLength(6)
    await trial.environment.observe(found, noSignal)
    await trial.environment.observe(found, noSignal)
    expect(submissions()).toBe(1)
    writeFileSync(mark, '')
    const [first, ...others] = await waitForAll(found)
    expect(first).toMatchObject(good)
    for (const end of others) expect(end).toMatchObject({ kind: 'exited', exitCode: 4 })
    expect(runs()).toHaveLength(6)
    expect(submissions()).toBe(1)
  })

  test('pilots that wait are cancelled when the last execution is discarded', async () => {
    await use()
    set('hold')
    await trial.submit(trial.shell('exit 0'))
    expect(alive()).toHaveLength(1)
    await trial.environment.discard?.(trial.workDirectory, noSignal)
    expect(alive()).toEqual([])
  })
})
