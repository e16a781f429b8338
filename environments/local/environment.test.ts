import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { LocalEnvironment } from './environment.ts'
import { isAlive, processesWith, untilNoProcessWith } from '../../test/conformance/processes.ts'
import { plugin } from './index.ts'

const stopGraceMs = 300
let trial: Trial
let warnings: string[]
beforeEach(async () => {
  warnings = []
  trial = new Trial((directory) =>
    plugin.create('local', plugin.options.parse({ slots: 2, stopGraceMs, env: { EVERY: 'job' } }), {
      directory,
      variables: { ...process.env, SECRET_OF_SERVER: 'no', LC_TIME: 'C' },
      now: Date.now,
      warn: (message) => warnings.push(message),
    }),
  )
  await trial.open()
})
afterEach(() => trial.close())

/** Gives its jobs ten minutes to end. */
async function openPatient(): Promise<AsyncDisposable & { readonly trial: Trial }> {
  const patient = new Trial((directory) =>
    plugin.create('local', plugin.options.parse({ slots: 1, stopGraceMs: 600_000 }), {
      directory,
      variables: process.env,
      now: Date.now,
      warn: (message) => warnings.push(message),
    }),
  )
  await patient.open()
  return { trial: patient, [Symbol.asyncDispose]: async () => patient.close() }
}

function shellPids(): readonly number[] {
  if (!(trial.environment instanceof LocalEnvironment)) throw new Error('not the local environment')
  return trial.environment.shellPids
}

/** Says `both` when it and a child of it ignore SIGTERM or not, and waits. */
const family = (trap: string): string =>
  `${trap}; (${trap}; echo child; while :; do sleep 600; done) & echo both; while :; do sleep 600; done`

describe('processes of a job', () => {
  test('are a process group of their own', async () => {
    const { stdout } = await trial.run(trial.shell('cut -d" " -f1,5 /proc/self/stat; echo $$'))
    const [, group, shell] = stdout.split(/\s+/)
    expect(group).toBe(shell)
    expect(shellPids()).not.toContain(Number(group))
  })

  test('all end when the job is cancelled', async () => {
    const request = trial.shell(family(':'))
    const handle = await trial.submit(request)
    await until('its child runs', () => (processesWith(request.id).length >= 3 ? true : undefined))
    await trial.environment.cancel([handle], noSignal)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    await untilNoProcessWith(request.id)
  })

  test('all end at the time-out, also those that ignore SIGTERM', async () => {
    const request = trial.shell(family("trap '' TERM"), { resources: { wallTimeMs: 400 } })
    const begin = performance.now()
    const { end, stdout } = await trial.run(request)
    expect(end).toMatchObject({ kind: 'stopped', cause: 'timeout' })
    expect(stdout).toContain('both')
    expect(performance.now() - begin).toBeGreaterThanOrEqual(stopGraceMs)
    await untilNoProcessWith(request.id)
  })

  test('have ended soon after the environment is closed, however long they may take otherwise', async () => {
    await using patient = await openPatient()
    const request = patient.trial.shell(family("trap '' TERM"))
    await patient.trial.submit(request)
    await until('its child runs', () => (processesWith(request.id).length >= 3 ? true : undefined))
    const begin = performance.now()
    await patient.trial.environment.close()
    expect(performance.now() - begin).toBeLessThan(30_000)
    await untilNoProcessWith(request.id)
  })

  test('get time to end by themselves', async () => {
    const mark = join(trial.directory, 'mark')
    const request = trial.request([
      'sh',
      '-c',
      'trap "echo cleaned; exit 0" TERM; echo ready; : >"$0"; while :; do sleep 0.01; done',
      mark,
    ])
    const handle = await trial.submit(request)
    await until('it is ready', () => (existsSync(mark) ? true : undefined))
    await trial.environment.cancel([handle], noSignal)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect((await trial.collect(handle)).stdout).toBe('ready\ncleaned\n')
  })

  test('that outlive the main process are ended with it', async () => {
    const request = trial.shell('sleep 600 & exit 0')
    const { end } = await trial.run(request)
    expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
    await untilNoProcessWith(request.id)
  })

  test('see the few variables that pass, those of the options and their own', async () => {
    const { stdout } = await trial.run(trial.request(['env'], { env: { OWN: '1' } }))
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.slice(0, line.indexOf('=')))
    expect(names).toEqual(expect.arrayContaining(['PATH', 'LC_TIME', 'EVERY', 'OWN', 'MOLEHILL_JOB_ID']))
    // Bash itself adds the last three.
    const allowed =
      /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TMPDIR|EVERY|OWN|MOLEHILL_JOB_ID|MOLEHILL_JOB_DIRECTORY|PWD|SHLVL|_)$/
    expect(names.filter((name) => !allowed.test(name))).toEqual([])
  })

  test('have nothing to read on standard input', async () => {
    expect((await trial.run(trial.shell('wc -c'))).stdout.trim()).toBe('0')
  })

  test('have no open files that a child of the server itself would not have', async () => {
    const list = 'ls /proc/self/fd'
    const { stdout } = await trial.run(trial.shell(list))
    expect(stdout).toBe(execFileSync('sh', ['-c', list], { encoding: 'utf8' }))
  })

  test('a program named like a builtin of bash is the program', async () => {
    const { stdout } = await trial.run(trial.request(['echo', '--version']))
    expect(stdout).toContain('coreutils')
  })

  test('a program is looked for on the PATH of the job', async () => {
    const { end } = await trial.run(trial.request(['sh', '-c', 'exit 0'], { env: { PATH: '/nowhere' } }))
    expect(end).toMatchObject({ kind: 'exited', exitCode: 127 })
  })
})

describe('signals and exit codes are told apart', () => {
  test.each(['INT', 'PIPE', 'SEGV', 'TERM', 'USR1'])('ended by SIG%s', async (signal) => {
    const { end } = await trial.run(trial.shell(`kill -${signal} $$`))
    expect(end).toMatchObject({
      kind: 'stopped',
      cause: 'signal',
      message: expect.stringContaining(`SIG${signal}`),
    })
  })

  test.each([129, 137, 139, 143])('exit %i', async (code) => {
    expect((await trial.run(trial.shell(`exit ${code}`))).end).toEqual({ kind: 'exited', exitCode: code })
  })

  test('a job that was stopped and went on is waited for', async () => {
    const mark = join(trial.directory, 'mark')
    const handle = await trial.submit(
      trial.request(['sh', '-c', 'echo $$ >"$0.part"; mv "$0.part" "$0"; kill -STOP $$; exit 3', mark]),
    )
    await until('it is stopped', () =>
      existsSync(mark) &&
      /\) T /.test(readFileSync(`/proc/${Number(readFileSync(mark, 'utf8'))}/stat`, 'utf8'))
        ? true
        : undefined,
    )
    await trial.waitForRunning(handle)
    process.kill(Number(readFileSync(mark, 'utf8')), 'SIGCONT')
    expect(await trial.waitForEnd(handle)).toEqual({ kind: 'exited', exitCode: 3 })
  })

  test('jobs that are cancelled while they start all come to an end', async () => {
    const requests = Array.from({ length: 60 }, () => trial.shell('exit 0'))
    for (const request of requests) {
      const handle = await trial.submit(request)
      await trial.environment.cancel([handle], noSignal)
    }
    const handles = await trial.environment.recover(
      requests.map(({ id }) => id),
      noSignal,
    )
    for (const handle of handles) expect((await trial.waitForEnd(handle)).kind).toBe('stopped')
  })

  test('a command cannot forge an answer of its launcher', async () => {
    const { end } = await trial.run(trial.request(['sh', '-c', 'kill -KILL $$', '\nended 0\nstarted 1\n']))
    expect(end).toMatchObject({ kind: 'stopped', cause: 'signal' })
  })
})

describe('slots', () => {
  test('bound how many jobs run at once, and a job of many cpus takes many', async () => {
    const one = trial.shell('sleep 0.2')
    const wide = trial.shell('exec sleep 600', { resources: { cpus: 99 } })
    const after = trial.shell('exit 0')
    await trial.environment.submit([one, wide, after], noSignal)
    const [first, second, third] = await trial.environment.recover([one.id, wide.id, after.id], noSignal)
    expect((await trial.observe(second!)).kind).toBe('queued')
    await trial.waitForEnd(first!)
    await trial.waitForRunning(second!)
    expect((await trial.observe(third!)).kind).toBe('queued')
    await trial.environment.cancel([second!], noSignal)
    expect(await trial.waitForEnd(third!)).toMatchObject({ kind: 'exited', exitCode: 0 })
  })

  test.each([{ cpus: 0 }, { cpus: 1.5 }, { wallTimeMs: -1 }, { wallTimeMs: 2 ** 40 }, { cpus: Number.NaN }])(
    'a request for %j is rejected',
    async (resources) => {
      const request = trial.shell('exit 0', { resources })
      const outcomes = await trial.environment.submit([request], noSignal)
      expect(outcomes.get(request.id)?.kind).toBe('rejected')
    },
  )
})

describe('death', () => {
  test('of a launcher loses its job, ends its processes and brings a new launcher', async () => {
    const requests = [trial.shell(family("trap '' TERM")), trial.shell(family("trap '' TERM"))]
    await trial.environment.submit(requests, noSignal)
    const handles = await trial.environment.recover(
      requests.map(({ id }) => id),
      noSignal,
    )
    for (const handle of handles) await trial.waitForRunning(handle)
    const launchers = shellPids().slice(0, 2)
    process.kill(launchers[0]!, 'SIGKILL')
    process.kill(launchers[1]!, 'SIGTERM')
    for (const handle of handles)
      expect(await trial.waitForEnd(handle)).toMatchObject({
        kind: 'lost',
        message: expect.stringContaining('launcher shell ended'),
      })
    for (const { id } of requests) await untilNoProcessWith(id)
    expect((await trial.run(trial.shell('exit 6'))).end).toEqual({ kind: 'exited', exitCode: 6 })
    expect(warnings.join('\n')).toContain('A new one takes its place')
    expect((await trial.collect(handles[0]!)).collected.missing).toEqual([])
  })

  test('of the guard is mended with the next jobs', async () => {
    const guard = shellPids().at(-1)!
    process.kill(guard, 'SIGKILL')
    await until('its death is told', () => (warnings.length > 0 ? true : undefined))
    await trial.run(trial.shell('exit 0'))
    expect(isAlive(shellPids().at(-1)!)).toBe(true)
    expect(shellPids()).toHaveLength(3)
  })

  test('closing ends running jobs, the launchers and the guard', async () => {
    const request = trial.shell(family("trap '' TERM"))
    await trial.waitForRunning(await trial.submit(request))
    const pids = shellPids()
    await trial.environment.close()
    await untilNoProcessWith(request.id)
    expect(pids.filter(isAlive)).toEqual([])
    await expect(trial.environment.submit([request], noSignal)).rejects.toThrow('is closed')
    await expect(trial.environment.check(noSignal)).rejects.toThrow('is closed')
  })
})

describe('death of the server', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'molehill-orphan-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  async function startParent(script: string): Promise<ReturnType<typeof spawn>> {
    const parent = spawn(
      process.execPath,
      [fileURLToPath(new URL('../../test/conformance/local-parent.ts', import.meta.url)), directory, script],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let text = ''
    parent.stdout.on('data', (chunk) => (text += String(chunk)))
    await until(
      'the job of the parent runs',
      () => (text.includes('changed') ? true : undefined),
      () => text,
    )
    return parent
  }

  test('by SIGKILL ends jobs, launchers and guard', async () => {
    const parent = await startParent(family("trap '' TERM"))
    await until('parent, job and its child run', () =>
      processesWith(directory).length >= 4 ? true : undefined,
    )
    const shells = childrenOf(parent.pid!)
    expect(shells).toHaveLength(3)
    parent.kill('SIGKILL')
    await untilNoProcessWith(directory)
    await until('the shells are gone', () => (shells.some(isAlive) ? undefined : true))
  })

  test('with everything that guards it leaves jobs that the next life ends and clears away', async () => {
    const parent = await startParent('setsid sleep 600 & exec sleep 600')
    await until('both sleep', () => (processesWith(directory).length >= 2 ? true : undefined))
    for (const shell of childrenOf(parent.pid!)) process.kill(shell, 'SIGSTOP')
    const shells = childrenOf(parent.pid!)
    parent.kill('SIGKILL')
    for (const shell of shells) process.kill(shell, 'SIGKILL')
    expect(processesWith('MOLEHILL_JOB_ID=orphan').length).toBeGreaterThanOrEqual(2)
    const told: string[] = []
    const next = await plugin.create('local', plugin.options.parse({ slots: 1 }), {
      directory: join(directory, 'environment'),
      variables: process.env,
      now: Date.now,
      warn: (message) => told.push(message),
    })
    try {
      await untilNoProcessWith('MOLEHILL_JOB_ID=orphan')
      expect(told.join()).toContain('earlier life')
      expect(readdirSync(join(directory, 'environment'))).toEqual([])
    } finally {
      await next.close()
    }
  })

  function childrenOf(pid: number): readonly number[] {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
  }
})

test('a computer without bash is told by check and submit', async () => {
  const nowhere = new Trial((directory) =>
    plugin.create('local', plugin.options.parse({}), {
      directory,
      variables: { PATH: '/nowhere' },
      now: Date.now,
      warn: (message) => warnings.push(message),
    }),
  )
  await nowhere.open()
  await expect(nowhere.environment.check(noSignal)).rejects.toThrow('bash 5.0 or newer')
  await expect(nowhere.environment.submit([nowhere.shell('exit 0')], noSignal)).rejects.toThrow(
    'bash 5.0 or newer',
  )
  await nowhere.close()
})
