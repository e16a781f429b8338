import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Environment, JobHandle } from '../../src/environment/environment.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { BoincClient } from '../../test/daemons/boinc.ts'
import { startBoincProject, type BoincProject } from '../../test/daemons/boinc-project.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'

/** A round trip takes half a minute, and more where the machine is busy. */
const patienceMs = 300_000
/** The same, observed twice a second at most: here nothing happens faster. */
function unhurried(environment: Environment): Environment {
  return new Proxy(environment, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return async (...words: readonly unknown[]): Promise<unknown> => {
        if (name === 'observe') await pause(500)
        return Reflect.apply(member, target, words)
      }
    },
  })
}

/** Counts until it may end. */
const counting =
  'echo $$ >pid; i=0; while :; do i=$((i + 1)); echo $i >steps; sleep 0.1; [ -e go ] && exit 4; done'

describeWith('boinc', 'a real BOINC client', () => {
  let project: BoincProject
  let client: BoincClient
  let trial: Trial
  beforeAll(async () => {
    project = await startBoincProject()
    client = await BoincClient.start({ cpus: 4, testUrl: project.url })
    await client.attach(project.url, project.key('ann'))
    trial = new Trial(
      (directory) =>
        plugin
          .create('boinc', plugin.options.parse({ by: 1 }), {
            directory,
            variables: {},
            volunteers: project.volunteers,
            now: Date.now,
            warn: () => undefined,
          })
          .then(unhurried),
      patienceMs,
    )
    await trial.open()
  }, 180_000)
  afterAll(async () => {
    await trial?.close()
    await client?.stop()
    await project?.[Symbol.asyncDispose]()
  }, 180_000)

  /** Of the job that counts, in whatever slot it runs. */
  function read(name: string): string {
    for (const work of workDirectories())
      try {
        return readFileSync(join(work, name), 'utf8').trim()
      } catch {
        // Of another task.
      }
    return ''
  }

  function workDirectories(): readonly string[] {
    const slots = join(client.directory, 'slots')
    const names = existsSync(slots) ? readdirSync(slots) : []
    return names.map((slot) => join(slots, slot, 'jobs/1/work')).filter((path) => existsSync(path))
  }

  function letGo(): void {
    for (const work of workDirectories()) writeFileSync(join(work, 'go'), '')
  }

  const waitForSteps = (what: string, isWanted: (steps: number) => boolean) =>
    until(
      what,
      () => isWanted(Number(read('steps'))) || undefined,
      () => read('steps'),
      patienceMs,
    )

  async function startCounting(): Promise<JobHandle> {
    const handle = await trial.submit(trial.shell(counting))
    await client.update(project.url)
    await waitForSteps('it counts', (steps) => steps > 2)
    return handle
  }

  function isAlive(pid: number): boolean {
    try {
      return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    } catch {
      return false
    }
  }

  test('runs jobs with their files and tells how each ended', { timeout: 2 * patienceMs }, async () => {
    writeFileSync(join(trial.workDirectory, 'input'), 'of the work directory\n')
    const jobs = await trial.submitAll([
      trial.shell('cat input > out; echo printed; echo error >&2; exit 7', { outputs: [{ path: 'out' }] }),
      trial.shell('kill -TERM $$'),
      trial.shell('exec sleep 1000', { resources: { wallTimeMs: 2000 } }),
      trial.shell('exit 0', { outputs: [{ path: 'missing' }] }),
    ])
    const ends = await trial.waitForAll(jobs)
    expect(ends, await client.log()).toMatchObject([
      { kind: 'exited', exitCode: 7 },
      { kind: 'stopped', cause: 'signal' },
      { kind: 'stopped', cause: 'timeout' },
      { kind: 'exited', exitCode: 0 },
    ])
    const [first, , , last] = jobs
    const collected = await trial.collect(first!)
    expect([collected.stdout, collected.stderr]).toEqual(['printed\n', 'error\n'])
    expect(String(collected.read('out'))).toBe('of the work directory\n')
    expect((await trial.collect(last!)).collected.missing).toEqual(['missing'])
    await trial.environment.release(jobs, noSignal)
    const findings = await trial.environment.inspect?.(noSignal)
    expect(findings?.[1]?.message).toContain('of ann: x86_64-pc-linux-gnu, 4 processors')
  })

  test(
    'a job stops while it is suspended, and dies with its client, to run once and no more after that',
    { timeout: 3 * patienceMs },
    async () => {
      const handle = await startCounting()
      await trial.waitForRunning(handle)
      const { name = '' } = await client.untilTask(
        'runs',
        (task) => task['active_task_state'] === 'EXECUTING',
      )
      expect(name).toBe(`${handle.id}_0`)
      await client.command('--task', project.url, name, 'suspend')
      const stopped = await until(
        'the count stands still',
        async () => {
          const steps = read('steps')
          await pause(3000)
          return read('steps') === steps ? Number(steps) : undefined
        },
        () => read('steps'),
        patienceMs,
      )
      expect(isAlive(Number(read('pid')))).toBe(true)
      await client.command('--task', project.url, name, 'resume')
      await waitForSteps('it goes on', (steps) => steps > stopped)

      const first = Number(read('pid'))
      await client.kill()
      await until(
        'the job has died with its client',
        () => !isAlive(first) || undefined,
        undefined,
        patienceMs,
      )
      await client.launch()
      await until(
        'it runs again',
        () =>
          (read('pid') !== '' && Number(read('pid')) !== first && isAlive(Number(read('pid')))) || undefined,
        () => read('pid'),
        patienceMs,
      )
      letGo()
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 4 })
      await trial.environment.release([handle], noSignal)
    },
  )

  test('a result that waits for a network counts when it comes', { timeout: 2 * patienceMs }, async () => {
    const handle = await startCounting()
    await client.network('never')
    letGo()
    await client.untilTask('has ended', ({ state }) => state === 'uploading' || state === 'uploaded')
    expect(['queued', 'running']).toContain((await trial.observe(handle)).kind)
    await client.network('always')
    await client.update(project.url)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 4 })
    await trial.environment.release([handle], noSignal)
  })

  test(
    'a cancelled job is ended on its host; what the volunteer aborts goes to another host',
    { timeout: 3 * patienceMs },
    async () => {
      const cancelled = await startCounting()
      const pid = Number(read('pid'))
      await trial.environment.cancel([cancelled], noSignal)
      expect(await trial.observe(cancelled)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
      await client.update(project.url)
      await until(
        'its process is ended',
        () => !isAlive(pid) || undefined,
        () => pid,
        patienceMs,
      )

      const handle = await startCounting()
      const { name = '' } = await client.untilTask(
        'runs',
        (task) => task['active_task_state'] === 'EXECUTING',
      )
      await client.command('--task', project.url, name, 'abort')
      await using other = await BoincClient.start({ cpus: 1, testUrl: project.url })
      await other.attach(project.url, project.key(`bob-${handle.id}`))
      const mine = client
      client = other
      try {
        await waitForSteps('it counts on the other host', (steps) => steps > 2)
        letGo()
        expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 4 })
      } finally {
        client = mine
      }
    },
  )
})
