import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { until } from '../../../test/conformance/until.ts'
import { presentBashes } from '../../../test/helpers/bashes.ts'
import { toJobId, type JobRequest } from '../environment.ts'
import type { JobMark } from '../job-files/job-files.ts'
import { openJobFiles } from '../job-files/open-job-files.ts'
import { jobPath, keyOf, type JobPlace } from '../job-files/places.ts'
import { LocalHost } from '../local-host.ts'
import { readNews, Runner } from './runner.ts'
import type { QueuedJob, RunnerNews } from './workers.ts'

const signal = new AbortController().signal
const patienceMs = 40_000
const bashes = presentBashes()
const hosts: LocalHost[] = []
let directory: string
let count = 0

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-test-runner-'))
  mkdirSync(join(directory, 'work'))
})
afterEach(async () => {
  for (const pid of pids()) kill(pid)
  await Promise.all(hosts.splice(0).map(async (host) => host.close()))
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})
afterAll(() => bashes.remove())

/** The runners of this test, by their locks. */
function pids(): readonly number[] {
  try {
    const lock = readFileSync(join(directory, 'host', 'runners', 'trial', 'lock'), 'utf8')
    return [Number(lock.split(' ')[1])]
  } catch {
    // No runner, or none any more.
    return []
  }
}

function kill(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

function open(slots: number, { idleMs = 30_000, path = process.env['PATH'] ?? '' } = {}) {
  const host = new LocalHost({ variables: { PATH: path }, sharesFiles: false })
  hosts.push(host)
  const newMark = () => `mark${Math.random().toString(36).slice(2)}`
  const base = join(directory, 'host')
  const files = openJobFiles(host, { base, directory, prologue: [], newMark, now: Date.now })
  return {
    files,
    runner: new Runner(host, files, { name: 'trial', slots, stopGraceMs: 1000, idleMs, newMark }),
  }
}

interface Job extends JobPlace {
  readonly request: JobRequest
  readonly queued: QueuedJob
}

function job(script: string, more: Partial<QueuedJob> = {}): Job {
  count += 1
  const workDirectory = join(directory, 'work')
  const place = { id: toJobId(`runner-${process.pid}-${count}`), key: keyOf(workDirectory) }
  const request = {
    id: place.id,
    command: ['bash', '-c', script],
    env: {},
    workDirectory,
    inputs: [],
    outputs: [],
    resources: {},
  }
  return { ...place, request, queued: { place, slots: 1, ...more } }
}

type Opened = ReturnType<typeof open>

async function hand({ files, runner }: Opened, jobs: readonly Job[]): Promise<void> {
  const list = runner.list(
    jobs.map(({ queued }) => queued),
    Date.now(),
  )
  await files.prepare(
    jobs.map(({ request }) => ({ request, note: 'trial' })),
    [list],
    signal,
  )
  await runner.ensure(signal)
}

async function ends({ files }: Opened, jobs: readonly Job[]): Promise<readonly JobMark[]> {
  return until(
    'the jobs are over',
    async () => {
      const marks = await files.look(jobs, signal)
      const all = jobs.flatMap(({ id }) => marks.get(id) ?? [])
      return all.every(({ kind }) => kind === 'ended') ? all : undefined
    },
    undefined,
    patienceMs,
  )
}

test.each(bashes.all)(
  'tells exit codes right, and signals, while it is woken again and again: bash $version',
  async ({ path }) => {
    const opened = open(2, { path })
    const jobs = Array.from({ length: 150 }, (_, index) => job(index % 2 === 0 ? 'exit 3' : 'kill -TERM $$'))
    await hand(opened, jobs)
    const waking = new AbortController()
    const woken = (async () => {
      while (!waking.signal.aborted) await opened.runner.ensure(signal)
    })()
    const marks = await ends(opened, jobs)
    waking.abort()
    await woken
    expect(marks.map((mark) => mark.kind === 'ended' && mark.end)).toEqual(
      jobs.map((_, index) =>
        index % 2 === 0 ? { kind: 'exited', exitCode: 3 } : { kind: 'signalled', signal: 15 },
      ),
    )
  },
  60_000,
)

test.each(bashes.all)(
  'tells every signal from the exit code that a shell gives it: bash $version',
  async ({ path }) => {
    const opened = open(6, { path })
    const numbers = [1, 2, 6, 9, 10, 12, 13, 14, 15]
    const jobs = numbers.flatMap((number) => [
      job(`kill -${number} $$`),
      job(`sleep 0.1; kill -${number} $$`),
      job(`exit ${128 + number}`),
    ])
    await hand(opened, jobs)
    const marks = await ends(opened, jobs)
    expect(marks.map((mark) => (mark.kind === 'ended' ? mark.end : mark))).toEqual(
      numbers.flatMap((number) => {
        const stopped = { kind: 'signalled', signal: number }
        return [stopped, stopped, { kind: 'exited', exitCode: 128 + number }]
      }),
    )
  },
  60_000,
)

test('keeps the order of submission, and the number of slots', async () => {
  const opened = open(2)
  const log = join(directory, 'log')
  const jobs = Array.from({ length: 12 }, (_, index) =>
    job(`echo +${index} >>${log}; sleep 0.05; echo - >>${log}`),
  )
  await hand(opened, jobs.slice(0, 5))
  await hand(opened, jobs.slice(5))
  await ends(opened, jobs)
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  let running = 0
  const most = lines.map((line) => (running += line === '-' ? -1 : 1)).reduce((a, b) => Math.max(a, b))
  expect(most).toBeLessThanOrEqual(2)
  const order = lines.filter((line) => line !== '-').map(Number)
  // Two that start together may write in either order.
  for (const [place, index] of order.entries()) expect(Math.abs(place - index)).toBeLessThanOrEqual(1)
})

test('a job that takes two slots runs alone on two', async () => {
  const opened = open(2)
  const log = join(directory, 'log')
  const one = () => job(`echo 1 >>${log}; sleep 0.2; echo -1 >>${log}`)
  const two = job(`echo 2 >>${log}; sleep 0.2; echo -2 >>${log}`, { slots: 2 })
  const jobs = [one(), two, one(), one()]
  await hand(opened, jobs)
  await ends(opened, jobs)
  let taken = 0
  for (const line of readFileSync(log, 'utf8').trim().split('\n')) {
    taken += Number(line)
    expect(taken).toBeLessThanOrEqual(2)
  }
})

test('tells exit codes from signals, a wall time from both, and limits memory', async () => {
  const opened = open(4)
  const jobs = [
    job('exit 0'),
    job('exit 137'),
    job('kill -KILL $$'),
    job('exec sleep 60', { wallTimeMs: 100 }),
    job('trap "" TERM; while :; do sleep 0.1; done', { wallTimeMs: 100 }),
    job('ulimit -d', { memoryBytes: 100 * 1024 ** 2 }),
  ]
  await hand(opened, jobs)
  const marks = await ends(opened, jobs)
  expect(marks.map((mark) => (mark.kind === 'ended' ? mark.end : mark))).toEqual([
    { kind: 'exited', exitCode: 0 },
    { kind: 'exited', exitCode: 137 },
    { kind: 'signalled', signal: 9 },
    { kind: 'timeout' },
    { kind: 'timeout' },
    { kind: 'exited', exitCode: 0 },
  ])
  const stdout = join(directory, 'host', jobPath(jobs[5]!), 'stdout')
  expect(readFileSync(stdout, 'utf8')).toBe('102400\n')
}, 60_000)

test('what was cancelled in the queue does not start; what runs is ended', async () => {
  const opened = open(1)
  const mark = join(directory, 'mark')
  const jobs = [job('exec sleep 60'), job(`echo x >${mark}`), job('exit 5')]
  await hand(opened, jobs)
  await until(
    'the first runs',
    async () =>
      (await opened.files.look(jobs, signal)).get(jobs[0]!.id)?.kind === 'started' ? true : undefined,
    undefined,
    patienceMs,
  )
  await opened.files.markCancelled(jobs.slice(0, 2), signal)
  await opened.runner.ensure(signal)
  const marks = await ends(opened, jobs)
  expect(marks.map((each) => each.kind === 'ended' && each.isCancelled)).toEqual([true, true, false])
  expect(readdirSync(directory)).not.toContain('mark')
})

test('there is one runner however many are asked for, and each job runs once', async () => {
  const opened = open(4)
  const mark = join(directory, 'mark')
  const jobs = Array.from({ length: 20 }, () => job(`echo x >>${mark}`))
  await Promise.all([hand(opened, jobs), opened.runner.ensure(signal), opened.runner.ensure(signal)])
  await ends(opened, jobs)
  // Files of a job are replaced one by one: sent again just when it begins, it might not find its command.
  await hand(opened, jobs)
  await until(
    'the second list is read',
    () => (readdirSync(join(directory, 'host/runners/trial/inbox')).length === 0 ? true : undefined),
    undefined,
    patienceMs,
  )
  await Promise.all(Array.from({ length: 5 }, () => opened.runner.ensure(signal)))
  expect(readFileSync(mark, 'utf8')).toBe('x\n'.repeat(20))
})

test('a runner that is killed is followed by another, which tells what was lost and goes on', async () => {
  const opened = open(1)
  const jobs = [job('exec sleep 60'), job('exit 3')]
  await hand(opened, jobs)
  await until(
    'the first runs',
    async () =>
      (await opened.files.look(jobs, signal)).get(jobs[0]!.id)?.kind === 'started' ? true : undefined,
    undefined,
    patienceMs,
  )
  const [pid] = pids()
  process.kill(pid!, 'SIGKILL')
  await until(
    'it is gone',
    async () => {
      await opened.runner.ensure(signal)
      return pids()[0] === pid ? undefined : true
    },
    undefined,
    patienceMs,
  )
  const [first, second] = await ends(opened, jobs)
  expect(first).toMatchObject({ end: { kind: 'failed', message: expect.stringContaining('was killed') } })
  expect(second).toMatchObject({ end: { kind: 'exited', exitCode: 3 } })
})

test('ends by itself when there is nothing to do, and comes again', async () => {
  const opened = open(1, { idleMs: 1000 })
  const [first, second] = [job('true'), job('true')]
  await hand(opened, [first])
  await ends(opened, [first])
  await until('it is gone', () => (pids().length === 0 ? true : undefined), undefined, patienceMs)
  await hand(opened, [second])
  await ends(opened, [second])
})

test('says what happens as it happens', async () => {
  const opened = open(1)
  await opened.runner.ensure(signal)
  const abort = new AbortController()
  const heard: RunnerNews[] = []
  const begun = Promise.withResolvers<void>()
  const following = opened.runner.follow(begun.resolve, (news) => heard.push(...news), abort.signal)
  await begun.promise
  const one = job('exit 9')
  await hand(opened, [one])
  await until('both are heard', () => (heard.length === 2 ? true : undefined), undefined, patienceMs)
  expect(heard).toEqual([
    { id: one.id, kind: 'started' },
    { id: one.id, kind: 'ended', end: { kind: 'exited', exitCode: 9 } },
  ])
  abort.abort()
  await following
})

test('reads only whole lines of the log', () => {
  expect(readNews('started executions/k/jobs/a-1')).toEqual({ id: 'a-1', kind: 'started' })
  expect(readNews('ended executions/k/jobs/a-1 signal 9')).toMatchObject({
    end: { kind: 'signalled', signal: 9 },
  })
  for (const line of ['', 'ended a', 'ended a exited', 'ended a exi', 'Welcome to the cluster'])
    expect(readNews(line)).toBeUndefined()
})
