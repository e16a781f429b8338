import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobId } from '../environment/environment.ts'
import { FakeEnvironment, type FakeBehaviour } from '../environment/fake.ts'
import type { Chore } from './chores.ts'
import type { Attempt, AttemptEnding, AttemptSource } from './attempt-source.ts'
import { EnvironmentTracker } from './tracker.ts'

describe('a tracker', () => {
  let directory: string
  const trackers: EnvironmentTracker[] = []
  const warnings: string[] = []
  let chores: readonly Chore[] = []

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-tracker-'))
  })

  afterEach(async () => {
    await Promise.all(trackers.splice(0).map(async (tracker) => tracker.close()))
    await rm(directory, { recursive: true })
  })

  function track(environment: FakeEnvironment, lostGraceMs = 0): EnvironmentTracker {
    const warn = (message: string): number => warnings.push(message)
    const tracker = new EnvironmentTracker(environment, {
      now: () => performance.now(),
      warn,
      lostGraceMs,
      chores: { load: async () => chores, save: async (left) => void (chores = left) },
    })
    trackers.push(tracker)
    return tracker
  }

  /** A source of `count` attempts that notes how each ended. */
  function makeSource(name: string, count: number) {
    const endings = new Map<string, AttemptEnding>()
    const states: string[] = []
    let given = 0
    const make = (index: number): Attempt => {
      const id = `${name}-${index}` as JobId
      const request = {
        id,
        command: ['x'],
        env: {},
        workDirectory: directory,
        inputs: [],
        outputs: [],
        resources: {},
      }
      return {
        request,
        directory: join(directory, id),
        isMovable: false,
        submitting: async () => undefined,
        moved: (state) => states.push(`${id} ${state}`),
        ended: async (ending) => {
          endings.set(id, ending)
          return true
        },
      }
    }
    const source: AttemptSource = {
      take: (limit) => Array.from({ length: Math.min(limit, count - given) }, () => make((given += 1))),
    }
    return { source, endings, states, given: () => given }
  }

  const run = (environment: FakeEnvironment, count: number) => {
    const tracker = track(environment)
    const source = makeSource('job', count)
    tracker.add(source.source)
    tracker.wake()
    return { tracker, ...source }
  }

  it('tells why nothing more is taken when a submission failed', async () => {
    const environment = new FakeEnvironment()
    environment.submit = async () => Promise.reject(new Error('tar: not found'))
    const { tracker } = run(environment, 1)
    await expect.poll(() => tracker.activity.pausedBecause).toBe('submitting failed: tar: not found')
  })

  it('takes work only while there is room, and brings every attempt to its end', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 2 }), { maxActiveJobs: 7 })
    const { endings, given } = run(environment, 100)
    expect(given()).toBeLessThanOrEqual(7)
    await expect.poll(() => endings.size, { timeout: 10_000 }).toBe(100)
    expect([...endings.values()].every((ending) => ending.kind === 'exited' && ending.exitCode === 0)).toBe(
      true,
    )
  })

  it('takes what has a higher priority first, in the turns of its group only', async () => {
    const environment = new FakeEnvironment(() => ({}), { maxActiveJobs: 4 })
    const tracker = track(environment)
    const low = makeSource('low', 8)
    const high = makeSource('high', 3)
    const other = makeSource('other', 8)
    const of = (source: AttemptSource, group: string, priority: number): AttemptSource => ({
      ...source,
      precedence: { group, priority },
    })
    tracker.add(of(low.source, 'ann', 1))
    tracker.add(of(other.source, 'bob', 0))
    tracker.add(of(high.source, 'ann', 2))
    tracker.wake()
    await expect.poll(() => [high.given(), other.given(), low.given()]).toEqual([3, 1, 0])
  })

  it('serves sources in turn', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 1 }), { maxActiveJobs: 4 })
    const tracker = track(environment)
    const large = makeSource('large', 200)
    const small = makeSource('small', 5)
    tracker.add(large.source)
    tracker.add(small.source)
    tracker.wake()
    await expect.poll(() => small.endings.size).toBe(5)
    expect(large.endings.size).toBeLessThan(100)
    await expect.poll(() => large.endings.size, { timeout: 10_000 }).toBe(200)
  })

  it('works by polling alone where an environment does not tell', async () => {
    const { endings } = run(new FakeEnvironment(() => ({ runMs: 1 }), { watch: false }), 10)
    await expect.poll(() => endings.size, { timeout: 5000 }).toBe(10)
  })

  it('says why a request was refused', async () => {
    const behave = (): FakeBehaviour => ({ refusal: { kind: 'rejected', reason: 'no such partition' } })
    const { endings } = run(new FakeEnvironment(behave), 1)
    await expect.poll(() => endings.get('job-1')).toEqual({ kind: 'rejected', message: 'no such partition' })
  })

  it('submits a deferred attempt again later', async () => {
    let tries = 0
    const behave = (): FakeBehaviour =>
      (tries += 1) === 1 ? { refusal: { kind: 'deferred', reason: 'quota' } } : { runMs: 1 }
    const { endings, states } = run(new FakeEnvironment(behave), 1)
    await expect.poll(() => endings.get('job-1')?.kind, { timeout: 10_000 }).toBe('exited')
    expect(states.slice(0, 3)).toEqual(['job-1 submitting', 'job-1 ready', 'job-1 submitting'])
  })

  it('changes no state while the environment gives no answer', async () => {
    const environment = new FakeEnvironment(() => ({}), { watch: false })
    const { endings } = run(environment, 3)
    await expect.poll(() => environment.accepted.length).toBe(3)
    environment.outage = new Error('no route to host')
    await expect.poll(() => warnings.some((warning) => warning.includes('no route to host'))).toBe(true)
    expect(endings.size).toBe(0)
    environment.outage = undefined
    for (const { id } of environment.accepted) environment.finish(id)
    await expect.poll(() => endings.size, { timeout: 10_000 }).toBe(3)
    expect([...endings.values()].map(({ kind }) => kind)).toEqual(['exited', 'exited', 'exited'])
  })

  it('tells of a lost job, but only when it stays lost', async () => {
    const behave = (): FakeBehaviour => ({ runMs: 1, end: { kind: 'lost', message: 'gone' } })
    const patient = track(new FakeEnvironment(behave), 200)
    const source = makeSource('job', 1)
    patient.add(source.source)
    const startedAt = performance.now()
    patient.wake()
    await expect
      .poll(() => source.endings.get('job-1'), { timeout: 5000 })
      .toEqual({ kind: 'lost', message: 'gone' })
    expect(performance.now() - startedAt).toBeGreaterThan(199)
  })

  it('passes a cancel on, and waits for the end that the environment tells', async () => {
    const environment = new FakeEnvironment(() => ({}))
    const { tracker, endings } = run(environment, 2)
    await expect.poll(() => environment.accepted.length).toBe(2)
    await tracker.cancel(['job-1' as JobId, 'unknown' as JobId])
    await expect.poll(() => endings.get('job-1')).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect(environment.cancelled).toEqual(['job-1'])
    expect(endings.has('job-2')).toBe(false)
  })

  it('ends a job that was abandoned while it was looked for', async () => {
    const environment = new FakeEnvironment(() => ({}))
    const submit = environment.submit.bind(environment)
    const recover = environment.recover.bind(environment)
    const looking = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    environment.submit = async (requests) => {
      await submit(requests)
      throw new Error('the answer was lost')
    }
    environment.recover = async (ids) => {
      looking.resolve()
      await answer.promise
      return recover(ids)
    }
    const { tracker, endings } = run(environment, 1)
    await looking.promise
    await tracker.abandon(['job-1' as JobId])
    answer.resolve()
    await expect.poll(() => environment.cancelled).toEqual(['job-1'])
    expect(endings.size).toBe(0)
  })

  it('takes a job for lost whose results went down with its computer', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 2 }))
    const collect = environment.collect.bind(environment)
    environment.collect = async (...asked) => ({ ...(await collect(...asked)), lost: 'no power' })
    const { endings } = run(environment, 1)
    await expect.poll(() => [...endings.values()]).toEqual([{ kind: 'lost', message: 'no power' }])
  })

  it('releases what it could not release as soon as the environment answers', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 2 }))
    const tracker = track(environment)
    const { source } = makeSource('job', 1)
    tracker.add({
      take: (limit) =>
        source.take(limit).map((attempt) => ({
          ...attempt,
          ended: async () => {
            environment.outage = new Error('no route to host')
            return true
          },
        })),
    })
    tracker.wake()
    await expect.poll(() => chores).toMatchObject([{ kind: 'end', handles: [{ id: 'job-1' }] }])
    environment.outage = undefined
    expect(await environment.recover(['job-1' as JobId])).toHaveLength(1)
    await expect.poll(() => environment.recover(['job-1' as JobId]), { timeout: 20_000 }).toEqual([])
    await expect.poll(() => chores).toEqual([])
  })

  it.each([
    ['ended as soon as it answers', true, ['job-1']],
    ['left to the next life of the server, which follows them', false, []],
  ])('gives up jobs of an environment that stays away: they are %s', async (_, isTaken, cancelled) => {
    const environment = new FakeEnvironment(() => ({}), { watch: false, lostAfterOutageMs: 30 })
    const endings: AttemptEnding[] = []
    const tracker = track(environment)
    const { source } = makeSource('job', 1)
    tracker.add({
      take: (limit) =>
        source.take(limit).map((attempt) => ({
          ...attempt,
          ended: async (ending) => {
            endings.push(ending)
            return isTaken
          },
        })),
    })
    tracker.wake()
    await expect.poll(() => environment.accepted.length).toBe(1)
    environment.outage = new Error('no route to host')
    await expect.poll(() => endings, { timeout: 5000 }).toMatchObject([{ kind: 'lost' }])
    expect(chores).toHaveLength(isTaken ? 1 : 0)
    environment.outage = undefined
    await tracker.discard(directory)
    await expect.poll(() => environment.cancelled, { timeout: 20_000 }).toEqual(cancelled)
  })

  it('takes no more work while the environment gives no answer, also where it has taken nothing yet', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 1 }), { maxJobsPerSubmit: 10, watch: false })
    environment.outage = new Error('no route to host')
    let checks = 0
    const check = environment.check.bind(environment)
    environment.check = async () => {
      checks += 1
      await check()
    }
    const { endings, given } = run(environment, 100)
    await expect.poll(() => checks, { timeout: 10_000 }).toBeGreaterThan(5)
    expect(given()).toBe(10)
    environment.outage = undefined
    await expect.poll(() => endings.size, { timeout: 20_000 }).toBe(100)
  })

  it('gives up a job that an environment may have taken before it went away, and ends it when it is found', async () => {
    const environment = new FakeEnvironment(() => ({}), { watch: false, lostAfterOutageMs: 30 })
    const submit = environment.submit.bind(environment)
    environment.submit = async (requests) => {
      await submit(requests)
      environment.outage = new Error('no route to host')
      throw environment.outage
    }
    const { endings } = run(environment, 1)
    await expect.poll(() => endings.get('job-1')?.kind, { timeout: 10_000 }).toBe('lost')
    environment.outage = undefined
    await expect.poll(() => environment.cancelled, { timeout: 20_000 }).toEqual(['job-1'])
  })

  it('looks for all attempts together of which nobody knows whether they were taken', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 1 }), { survivesRestart: true })
    const asked: number[] = []
    const recover = environment.recover.bind(environment)
    environment.recover = async (ids) => {
      asked.push(ids.length)
      return recover(ids)
    }
    const tracker = track(environment)
    const { source, endings } = makeSource('job', 50)
    const attempts = source.take(50)
    await environment.submit(attempts.map(({ request }) => request))
    for (const attempt of attempts) tracker.adopt(attempt, undefined)
    await expect.poll(() => endings.size, { timeout: 20_000 }).toBe(50)
    expect(asked).toEqual([50])
  })

  it('asks once for many results that cannot be fetched whether the environment answers', async () => {
    const environment = new FakeEnvironment(() => ({ runMs: 1 }), { survivesRestart: true })
    const away = new Error('no route to host')
    let checks = 0
    environment.check = async () => {
      checks += 1
      throw away
    }
    const collect = environment.collect.bind(environment)
    let fails = 0
    environment.collect = async (...asked) => {
      fails += 1
      if (fails <= 50) throw away
      return collect(...asked)
    }
    const { endings } = run(environment, 50)
    await expect.poll(() => endings.size, { timeout: 20_000 }).toBe(50)
    expect(checks).toBeGreaterThan(0)
    expect(checks).toBeLessThan(10)
  })

  it('tells once what it cannot read of a job', async () => {
    const message = 'the state "X" is not known'
    const environment = new FakeEnvironment(() => ({ runMs: 1, end: { kind: 'unclear', message } }))
    let looks = 0
    const observe = environment.observe.bind(environment)
    environment.observe = async (handles) => {
      looks += 1
      return observe(handles)
    }
    run(environment, 1)
    await expect.poll(() => looks, { timeout: 10_000 }).toBeGreaterThan(10)
    expect(warnings.filter((warning) => warning.includes(message))).toHaveLength(1)
  })
})
