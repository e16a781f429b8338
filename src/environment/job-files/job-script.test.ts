import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toJobId } from '../environment.ts'
import { processesWith, untilNoProcessWith } from '../../../test/conformance/processes.ts'
import { until } from '../../../test/conformance/until.ts'
import { batchScript, commandText, readEnd, type JobEnd } from './job-script.ts'

let directory: string
let script: string
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'molehill script ')))
  script = join(directory, 'script')
  writeFileSync(join(directory, 'table'), 'first\nsecond\n')
  write()
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function write(more: { wallTimeMs?: number; stopGraceMs?: number; announcesSignals?: boolean } = {}): void {
  const text = batchScript({
    directives: ['#SBATCH --job-name=x'],
    index: '${NUMBER:-0}',
    jobsFile: join(directory, 'table'),
    jobsDirectory: join(directory, 'jobs'),
    stopGraceMs: 300,
    ...more,
  })
  writeFileSync(script, text)
}

function prepare(id: string, command: readonly string[], env: Record<string, string> = {}): string {
  const place = join(directory, 'jobs', id)
  mkdirSync(join(place, 'work'), { recursive: true })
  const request = {
    id: toJobId(id),
    command,
    env,
    workDirectory: '/',
    inputs: [],
    outputs: [],
    resources: {},
  }
  writeFileSync(join(place, 'command'), commandText(request))
  return place
}

const sh = (text: string): readonly string[] => ['sh', '-c', text]

function run(number = 0): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync('setsid', ['-w', 'bash', script], {
    env: { PATH: process.env['PATH'], NUMBER: String(number), LANG: 'tr_TR.UTF-8' },
    encoding: 'utf8',
  })
  return { status, stderr }
}

const endOf = (place: string): JobEnd | undefined => readEnd(readFileSync(join(place, 'exit'), 'utf8'))

function signalIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function readPid(path: string): number | undefined {
  const pid = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0
  return pid > 0 ? pid : undefined
}

describe('how a job ended is told', () => {
  test.each([0, 1, 7, 99, 100, 127, 128, 129, 130, 137, 141, 143, 255])('by exit code %i', (code) => {
    const place = prepare('first', sh(`exit ${code}`))
    expect(run()).toEqual({ status: 0, stderr: '' })
    expect(endOf(place)).toEqual({ kind: 'exited', exitCode: code })
  })

  test.each([
    ['KILL', 9],
    ['TERM', 15],
    ['INT', 2],
    ['PIPE', 13],
    ['SEGV', 11],
    ['USR1', 10],
  ])('by SIG%s', (name, signal) => {
    const place = prepare('first', sh(`kill -${name} $$`))
    expect(run().status).toBe(0)
    expect(endOf(place)).toEqual({ kind: 'signalled', signal })
  })

  test('by a job that ended before the shell could look', () => {
    for (let count = 0; count < 20; count += 1) {
      rmSync(join(directory, 'jobs'), { recursive: true, force: true })
      const place = prepare('first', ['true'])
      run()
      expect(endOf(place)).toEqual({ kind: 'exited', exitCode: 0 })
    }
  })

  test.each<[string, JobEnd]>([
    ['exited 4', { kind: 'exited', exitCode: 4 }],
    ['signal 9', { kind: 'signalled', signal: 9 }],
    ['timeout', { kind: 'timeout' }],
    ['failed It cannot be entered.', { kind: 'failed', message: 'It cannot be entered.' }],
  ])('by %j also where it stands in room that was put aside', (text, end) => {
    expect(readEnd(`${text.padEnd(63)}\n`)).toEqual(end)
    expect(readEnd(text.padEnd(63))).toBeUndefined()
  })

  test.each(['', 'exited', 'exited 7', 'exited x\n', 'exited 7\nmore\n', 'nonsense 3\n'])(
    'by nothing that is not whole: %j',
    (text) => expect(readEnd(text)).toBeUndefined(),
  )
})

test('a job finds its arguments, variables, directory and logs', () => {
  const word = 'ü "double" \'single\' $HOME `id` \\ *\nsecond line'
  const place = prepare('second', ['sh', '-c', 'printf %s "$1|$WORD"; pwd >&2; env', 'sh', word], {
    WORD: word,
  })
  run(1)
  const stdout = readFileSync(join(place, 'stdout'), 'utf8')
  expect(stdout).toContain(`${word}|${word}`)
  expect(stdout).toContain('MOLEHILL_JOB_ID=second\n')
  expect(stdout).toContain(`MOLEHILL_JOB_DIRECTORY=${place}/work\n`)
  expect(stdout).not.toContain('molehill_')
  expect(readFileSync(join(place, 'stderr'), 'utf8')).toBe(`${place}/work\n`)
})

test('a job that takes too long is asked to end, then killed', () => {
  write({ wallTimeMs: 200 })
  const place = prepare('first', sh("trap '' TERM; echo begun; sleep 600; sleep 600"), {
    MARK: `late-${process.pid}`,
  })
  expect(run().status).toBe(0)
  expect(endOf(place)).toEqual({ kind: 'timeout' })
  expect(readFileSync(join(place, 'stdout'), 'utf8')).toBe('begun\n')
})

test('a job that ends in time leaves nobody who watches it', async () => {
  write({ wallTimeMs: 543_210 })
  const place = prepare('first', sh('exit 3'))
  run()
  expect(endOf(place)).toEqual({ kind: 'exited', exitCode: 3 })
  await until('nobody sleeps', () =>
    spawnSync('pgrep', ['-fx', 'sleep 543.21'], { encoding: 'utf8' }).stdout === '' ? true : undefined,
  )
})

test('a script that is run twice runs its job once', () => {
  const place = prepare('first', sh('echo x >> ../ran'))
  run()
  run()
  expect(readFileSync(join(place, 'ran'), 'utf8')).toBe('x\n')
})

test('a job that was cancelled before does not start', () => {
  const place = prepare('first', sh('exit 0'))
  writeFileSync(join(place, 'cancelled'), '')
  expect(run().status).toBe(0)
  expect(existsSync(join(place, 'exit'))).toBe(false)
})

test('a missing work directory is told, and nothing runs elsewhere', () => {
  const place = prepare('first', sh('pwd > ../ran'))
  rmSync(join(place, 'work'), { recursive: true })
  expect(run().status).toBe(0)
  expect(endOf(place)).toMatchObject({
    kind: 'failed',
    message: expect.stringContaining('cannot be entered'),
  })
  expect(existsSync(join(place, 'ran'))).toBe(false)
})

test('a number without a job fails', () => {
  expect(run(5)).toEqual({ status: 1, stderr: 'No job has this number.\n' })
})

test('processes that outlive the job are ended with it', async () => {
  const place = prepare('first', sh('sleep 600 & exit 0'), { MARK: `outlives-${process.pid}` })
  run()
  expect(endOf(place)).toEqual({ kind: 'exited', exitCode: 0 })
  await untilNoProcessWith(`outlives-${process.pid}`)
})

test.each([
  ['the script alone', ['script']],
  ['the script, then the job', ['script', 'job']],
  ['the job, then the script', ['job', 'script']],
] as const)('a signal to %s is told as what ended the job', async (_, order) => {
  for (let count = 0; count < 10; count += 1) {
    rmSync(join(directory, 'jobs'), { recursive: true, force: true })
    const place = prepare('first', sh('echo $$ > ready; exec sleep 600'))
    const child = spawn('bash', [script], { stdio: 'ignore', detached: true })
    const ended = once(child, 'exit')
    const pid = await until('it runs', () => readPid(join(place, 'work/ready')))
    for (const target of order) signalIfThere(target === 'job' ? pid : child.pid!)
    await ended
    expect(endOf(place)).toEqual({ kind: 'signalled', signal: 15 })
  }
})

describe('a scheduler that announces signals', () => {
  test.each([
    ['ends by itself', "trap 'echo asked; exit 5' TERM; : > ready; while :; do sleep 0.05; done"],
    ['does not end by itself', "trap 'echo asked' TERM; : > ready; while :; do sleep 0.05; done"],
  ])('ends a job that %s, also when the script is killed', async (name, text) => {
    write({ announcesSignals: true })
    const place = prepare('first', sh(text), { MARK: `announced-${process.pid}` })
    const child = spawn('bash', [script], { stdio: 'ignore', detached: true })
    const ended = once(child, 'exit')
    await until('it runs', () => (existsSync(join(place, 'work/ready')) ? true : undefined))
    process.kill(-child.pid!, 'SIGUSR1')
    process.kill(-child.pid!, 'SIGUSR2')
    await until('it was asked', () => (readFileSync(join(place, 'stdout'), 'utf8') !== '' ? true : undefined))
    if (name !== 'ends by itself') process.kill(-child.pid!, 'SIGKILL')
    await ended
    await untilNoProcessWith(`announced-${process.pid}`)
    if (name === 'ends by itself') expect(endOf(place)).toEqual({ kind: 'exited', exitCode: 5 })
    expect(readFileSync(join(place, 'stdout'), 'utf8')).toBe('asked\n')
  })
})

test('a job that is cancelled while its process is made does not start', async () => {
  const place = prepare('first', sh('echo x > ../ran'))
  // Whoever opens a pipe to write waits until somebody reads it.
  spawnSync('mkfifo', [join(place, 'stdout')])
  const child = spawn('bash', [script], { stdio: 'ignore', detached: true })
  const ended = once(child, 'exit')
  await until('it has begun', () => (existsSync(join(place, 'started')) ? true : undefined))
  writeFileSync(join(place, 'cancelled'), '')
  readFileSync(join(place, 'stdout'))
  await ended
  expect(existsSync(join(place, 'ran'))).toBe(false)
})

test('a signal to the script goes to the job, and its end is still told', async () => {
  const mark = `signal-${process.pid}`
  const place = prepare(
    'first',
    sh("trap 'echo asked; exit 5' TERM; : > ready; while :; do sleep 0.05; done"),
    {
      MARK: mark,
    },
  )
  const child = spawn('bash', [script], { stdio: 'ignore', detached: true })
  await until('it runs', () => (existsSync(join(place, 'work/ready')) ? true : undefined))
  child.kill('SIGTERM')
  await until('it ended', () => (existsSync(join(place, 'exit')) ? true : undefined))
  expect(endOf(place)).toEqual({ kind: 'exited', exitCode: 5 })
  expect(readFileSync(join(place, 'stdout'), 'utf8')).toBe('asked\n')
  await until('nothing runs', () => (processesWith(mark).length === 0 ? true : undefined))
})
