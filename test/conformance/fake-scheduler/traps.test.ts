import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BatchEnvironmentOptions } from '../../../src/environment/batch/batch-environment.ts'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../../src/environment/environment.ts'
import type { Host, HostCommand, HostResult } from '../../../src/environment/host.ts'
import { noSignal, Trial } from '../trial.ts'
import { until } from '../until.ts'
import { fakeEnvironment, fakeState } from './fake-environment.ts'

/** What a test does to the commands between the environment and its host. */
type Fault = (command: HostCommand, run: () => Promise<HostResult>) => Promise<HostResult>

let trial: Trial
let state: string
let fault: Fault | undefined
let verbs: string[]
let warnings: string[]
let options: Partial<BatchEnvironmentOptions>

beforeEach(async () => {
  fault = undefined
  verbs = []
  warnings = []
  options = {}
  await open(false)
})
afterEach(() => {
  rmSync(join(state, 'hold'), { force: true })
  rmSync(join(state, 'broken'), { force: true })
  fault = undefined
  return trial.close()
})

async function open(sharesFiles: boolean): Promise<void> {
  trial = new Trial(async (directory) =>
    fakeEnvironment(directory, { sharesFiles, options, through, warn: (message) => warnings.push(message) }),
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
      verbs.push(verbOf(command) ?? 'files')
      const run = () => host.run(command, signal)
      return fault === undefined ? run() : fault(command, run)
    },
    open: (argv, signal) => host.open(argv, signal),
    close: () => host.close(),
  }
}

/** The scheduler's verb; undefined for commands that look after files. */
function verbOf({ argv }: HostCommand): string | undefined {
  const at = argv.findIndex((word) => word.endsWith('/queue.sh'))
  return at < 0 ? undefined : argv[at + 1]
}

const set = (name: string, text = ''): void => writeFileSync(join(state, name), text)
const listed = (): readonly string[] => readdirSync(join(state, 'jobs'))
const cutOff = new EnvironmentError('the connection was cut')

/** The directory of a job, where nothing has to travel to see it. */
function placeOf({ id, state: { key } }: JobHandle): string {
  return join(trial.ownDirectory, 'base/executions', String(key), 'jobs', id)
}

/** A job that tells how often it ran. */
function counted(): { readonly request: JobRequest; readonly runs: () => number } {
  const mark = join(trial.directory, 'ran')
  return {
    request: trial.shell('echo x >> "$MARK"', { env: { MARK: mark } }),
    runs: () => (existsSync(mark) ? readFileSync(mark, 'utf8').length / 2 : 0),
  }
}

describe('no answer is no news', () => {
  test.each(['fails', 'is silent'])(
    'a list that %s is an error of the environment, and jobs go on',
    async (how) => {
      set('hold')
      const handle = await trial.submit(trial.shell('exit 6'))
      if (how === 'fails') set('broken')
      else
        fault = async (command, run) =>
          verbOf(command) === 'list' ? { exitCode: 0, stdout: '', stderr: '' } : run()
      await expect(trial.observe(handle)).rejects.toThrow(EnvironmentError)
      await expect(trial.environment.check(noSignal)).rejects.toThrow(EnvironmentError)
      const findings = (await trial.environment.inspect?.(noSignal)) ?? []
      expect(findings.filter(({ isGood }) => !isGood).map(({ what }) => what)).toEqual(['scheduler'])
      rmSync(join(state, 'broken'), { force: true })
      fault = undefined
      expect((await trial.observe(handle)).kind).toBe('queued')
      rmSync(join(state, 'hold'))
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 6 })
    },
  )

  test('a list that was made before the job was submitted does not lose it', async () => {
    const stale: HostResult[] = []
    fault = async (command, run) => {
      if (verbOf(command) !== 'list') return run()
      const answer = await run()
      stale.push(answer)
      // The mark of each question is another one: what stands between is what was heard first.
      const marks = (text: string) => /^(\S+)-begin\n([\s\S]*)\n\1-end/m.exec(text)
      const [, , first] = marks(stale[0]!.stdout)!
      const [, , now] = marks(answer.stdout)!
      return { ...answer, stdout: answer.stdout.replace(now!, () => first!) }
    }
    set('hold')
    await trial.environment.check(noSignal)
    const handle = await trial.submit(trial.shell('exit 0'))
    expect((await trial.observe(handle)).kind).toBe('queued')
    fault = undefined
    rmSync(join(state, 'hold'))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
  })

  test('a state that nobody knows leaves its job as it was', async () => {
    set('hold')
    const handle = await trial.submit(trial.shell('exit 0'))
    writeFileSync(join(state, 'jobs', handle.nativeId, 'state'), 'meditating\n')
    expect(await trial.observe(handle)).toMatchObject({
      kind: 'unclear',
      message: expect.stringContaining('meditating'),
    })
  })

  test('an accounting that is broken holds nobody up, and is told once', async () => {
    fault = async (command, run) => {
      const answer = await run()
      if (verbOf(command) !== 'account') return answer
      return { ...answer, stdout: answer.stdout.replace(/-end 0\n$/, '-end 1\n'), stderr: 'no database' }
    }
    const { end } = await trial.run(trial.shell('kill -KILL $$'))
    expect(end).toMatchObject({ kind: 'stopped', cause: 'signal' })
    expect(warnings.filter((text) => text.includes('no database'))).toHaveLength(1)
  })

  test('a login that talks is not listened to', async () => {
    fault = async (_, run) => {
      const { exitCode, stdout, stderr } = await run()
      return {
        exitCode,
        stdout: `Welcome\n7\n1_0|x|0|running\n${stdout}Bye|bye|1|done\n`,
        stderr: `Hi\n${stderr}`,
      }
    }
    const { end, stdout } = await trial.run(trial.shell('echo "$LANG"; exit 5'))
    expect(end).toMatchObject({ kind: 'exited', exitCode: 5 })
    expect(stdout).toBe('tr_TR.UTF-8\n')
  })
})

describe('a submission whose answer is lost', () => {
  test('is found in the queue, and its job runs once', async () => {
    const { request, runs } = counted()
    fault = async (command, run) => {
      const answer = await run()
      if (verbOf(command) === 'submit') throw cutOff
      return answer
    }
    set('hold')
    const handle = await trial.submit(request)
    expect(listed()).toEqual([handle.nativeId])
    rmSync(join(state, 'hold'))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(runs()).toBe(1)
    expect(warnings.join()).toContain('gave no clear answer')
  })

  test('is found later where the queue cannot be asked either, also by the next life', async () => {
    const { request, runs } = counted()
    fault = async (command, run) => {
      if (verbOf(command) === 'submit') await run()
      if (verbOf(command) === 'submit' || verbOf(command) === 'list') throw cutOff
      return run()
    }
    set('hold')
    await expect(trial.environment.submit([request], noSignal)).rejects.toThrow('cut')
    fault = undefined
    const again = await trial.submit(request)
    await trial.environment.close()
    await trial.open()
    const [found] = await trial.environment.recover([request.id], noSignal)
    expect(found?.nativeId).toBe(again.nativeId)
    expect(listed()).toHaveLength(1)
    rmSync(join(state, 'hold'))
    await trial.waitForEnd(found!)
    expect(runs()).toBe(1)
  })

  test('is made again where it never arrived', async () => {
    const { request, runs } = counted()
    fault = async (command, run) => {
      if (verbOf(command) === 'submit') throw cutOff
      return run()
    }
    const outcomes = await trial.environment.submit([request], noSignal)
    expect(outcomes.get(request.id)).toMatchObject({ kind: 'deferred', reason: 'the connection was cut' })
    fault = undefined
    await trial.waitForEnd(await trial.submit(request))
    expect(runs()).toBe(1)
  })

  /** The queue has it twice, since it lists what it got too late; its answers are lost at first. */
  async function submitTwice(request: JobRequest): Promise<JobHandle> {
    set('hold')
    fault = async (command, run) => {
      if (verbOf(command) === 'submit') {
        await run()
        throw cutOff
      }
      return listsNothing(command, run)
    }
    const outcomes = await trial.environment.submit([request], noSignal)
    expect(outcomes.get(request.id)?.kind).toBe('deferred')
    fault = listsNothing
    const handle = await trial.submit(request)
    fault = undefined
    expect(listed()).toHaveLength(2)
    return handle
  }

  async function listsNothing(command: HostCommand, run: () => Promise<HostResult>): Promise<HostResult> {
    const answer = await run()
    return verbOf(command) === 'list'
      ? { ...answer, stdout: answer.stdout.replaceAll(/^\d+_\d+\|.*\n/gm, '') }
      : answer
  }

  test('runs its job once even where the queue lists it too late and gets it twice', async () => {
    const { request, runs } = counted()
    const handle = await submitTwice(request)
    rmSync(join(state, 'hold'))
    await until('both are over', () => (listed().length === 0 ? true : undefined))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(runs()).toBe(1)
  })

  test('takes both back where the queue has it twice and it is cancelled', async () => {
    const { request, runs } = counted()
    const handle = await submitTwice(request)
    await trial.environment.cancel([handle], noSignal)
    expect(listed()).toEqual([])
    expect(runs()).toBe(0)
  })
})

describe('cancelling', () => {
  test('what the scheduler has only just got keeps it from starting', async () => {
    const { request, runs } = counted()
    set('hold')
    const handle = await trial.submit(request)
    // The request to the scheduler goes nowhere.
    fault = async (command, run) =>
      verbOf(command) === 'cancel' ? { exitCode: 0, stdout: 'x-begin\n\nx-end 0\n', stderr: '' } : run()
    await trial.environment.cancel([handle], noSignal).catch(() => undefined)
    fault = undefined
    rmSync(join(state, 'hold'))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect(runs()).toBe(0)
  })

  test('ends a job that would wait for ever, which is then told as stopped', async () => {
    set('hold')
    const handle = await trial.submit(trial.shell('exit 0'))
    writeFileSync(join(state, 'jobs', handle.nativeId, 'state'), 'stuck\n')
    expect(await trial.observe(handle)).toMatchObject({ kind: 'stopped', message: 'would wait for ever' })
    expect(listed()).toEqual([])
  })

  test('many jobs at one time is one request', async () => {
    set('hold')
    const requests = Array.from({ length: 20 }, () => trial.shell('exit 0'))
    const outcomes = await trial.environment.submit(requests, noSignal)
    const handles = [...outcomes.values()].flatMap((outcome) =>
      outcome.kind === 'accepted' ? [outcome.handle] : [],
    )
    verbs = []
    await Promise.all(handles.map((handle) => trial.environment.cancel([handle], noSignal)))
    expect(verbs.filter((verb) => verb === 'cancel')).toHaveLength(1)
    await Promise.all(handles.map((handle) => trial.environment.release([handle], noSignal)))
    // Both times marks, the request itself and a look for copies; then the directories.
    expect(verbs.length).toBeLessThanOrEqual(7)
  })
})

describe('exit files', () => {
  test.each(['late', 'empty for a while'])('that are %s are waited for', async (how) => {
    const { handle } = await trial.run(trial.shell('exit 7'))
    const exit = join(placeOf(handle), 'exit')
    renameSync(exit, `${exit}.aside`)
    if (how !== 'late') writeFileSync(exit, '')
    const again = { ...handle }
    await trial.environment.close()
    await trial.open()
    expect((await trial.observe(again)).kind).toBe('running')
    renameSync(`${exit}.aside`, exit)
    expect(await trial.observe(again)).toMatchObject({ kind: 'exited', exitCode: 7 })
  })

  test('that never come end the job with the word of the accounting', async () => {
    const handle = await trial.submit(trial.shell('exit 7'))
    await until('it is over', () => (existsSync(join(placeOf(handle), 'exit')) ? true : undefined))
    rmSync(join(placeOf(handle), 'exit'))
    expect(await trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringContaining('left no exit file'),
    })
  })

  test('say that a signal ended a job, and the accounting says why', async () => {
    fault = async (command, run) => {
      const answer = await run()
      if (verbOf(command) !== 'account') return answer
      return { ...answer, stdout: answer.stdout.replace('|ended|0', '|killed-for-memory|') }
    }
    const { end } = await trial.run(trial.shell('kill -KILL $$'))
    expect(end).toMatchObject({ kind: 'stopped', cause: 'out-of-memory' })
  })
})

test('a job that vanished without a word is lost, after a while', async () => {
  const handle = await trial.submit(trial.shell('exec sleep 600'))
  await trial.waitForRunning(handle)
  const program = fileURLToPath(new URL('queue.sh', import.meta.url))
  execFileSync('bash', [program, 'kill', state, handle.nativeId])
  expect((await trial.observe(handle)).kind).toBe('running')
  expect((await trial.waitForEnd(handle)).kind).toBe('lost')
})

test('a refusal is told in the words of the scheduler, and nothing stays behind', async () => {
  const request = trial.shell('exit 0')
  set('refuse', 'invalid partition specified: nowhere')
  const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
  expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('invalid partition') })
  set('refuse', 'over quota')
  const later = (await trial.environment.submit([request], noSignal)).get(request.id)
  expect(later).toMatchObject({ kind: 'deferred', reason: expect.stringContaining('over quota') })
  const files = readdirSync(trial.ownDirectory, { recursive: true, encoding: 'utf8' })
  expect(files.filter((path) => path.includes(request.id))).toEqual([])
  rmSync(join(state, 'refuse'))
  expect((await trial.run(request)).end).toMatchObject({ kind: 'exited', exitCode: 0 })
})

test('an accounting that is silent for too long holds nobody up', async () => {
  fault = async (command, run) => {
    if (verbOf(command) === 'account') throw new EnvironmentError('sacct was not carried out within 60000 ms')
    return run()
  }
  const { end } = await trial.run(trial.shell('kill -KILL $$'))
  expect(end).toMatchObject({ kind: 'stopped', cause: 'signal' })
  expect(warnings.filter((text) => text.includes('60000 ms'))).toHaveLength(1)
})

describe('a scheduler that begins its numbers anew', () => {
  test('is not asked to end another job that has the number of a lost one', async () => {
    set('hold')
    const lost = await trial.submit(trial.shell('exit 0'))
    for (const name of ['jobs', 'over', 'counter'])
      rmSync(join(state, name), { recursive: true, force: true })
    const other = await trial.submit(trial.shell('exit 3'))
    expect(other.nativeId).toBe(lost.nativeId)
    expect((await trial.waitForEnd(lost)).kind).toBe('lost')
    await trial.environment.cancel([lost], noSignal)
    await trial.environment.release([lost], noSignal)
    expect(listed()).toEqual([other.nativeId])
    rmSync(join(state, 'hold'))
    expect(await trial.waitForEnd(other)).toMatchObject({ kind: 'exited', exitCode: 3 })
  })

  test('says in its accounting what became of an earlier job, which is not believed', async () => {
    mkdirSync(join(state, 'over'), { recursive: true })
    writeFileSync(join(state, 'over', '1_0'), '1_0|cancelled||m-another\n')
    const handle = await trial.submit(trial.shell('exec sleep 600'))
    expect(handle.nativeId).toBe('1_0')
    await trial.waitForRunning(handle)
    const program = fileURLToPath(new URL('queue.sh', import.meta.url))
    execFileSync('bash', [program, 'kill', state, handle.nativeId])
    expect((await trial.waitForEnd(handle)).kind).toBe('lost')
  })
})

test.each([true, false])(
  'a disk on which no mark can be made keeps no job alive, files shared: %s',
  async (sharesFiles) => {
    await trial.close()
    await open(sharesFiles)
    const stuck = await trial.submit(trial.shell('exec sleep 600'))
    const other = await trial.submit(trial.shell('exec sleep 600'))
    await trial.waitForRunning(stuck)
    await trial.waitForRunning(other)
    symlinkSync('/nowhere/at-all', join(placeOf(stuck), 'cancelled'))
    await trial.environment.cancel([stuck, other], noSignal)
    expect(warnings.join()).toMatch(/cancelled/)
    for (const handle of [stuck, other]) expect((await trial.waitForEnd(handle)).kind).toBe('stopped')
    expect(existsSync(join(placeOf(other), 'cancelled'))).toBe(true)
  },
)

describe('a scheduler that takes fewer jobs at once than a batch holds', () => {
  const kinds = (outcomes: ReadonlyMap<unknown, { readonly kind: string }>) =>
    [...outcomes.values()].map(({ kind }) => kind)

  test('for the size of arrays gets smaller ones at once, and each job runs once', async () => {
    set('largest', '4')
    const mark = join(trial.directory, 'ran')
    const requests = Array.from({ length: 30 }, () => trial.shell(`echo $MOLEHILL_JOB_ID >> ${mark}`))
    const outcomes = await trial.environment.submit(requests, noSignal)
    expect(new Set(kinds(outcomes))).toEqual(new Set(['accepted']))
    expect(verbs.filter((verb) => verb === 'submit').length).toBeLessThan(20)
    for (const outcome of outcomes.values())
      if (outcome.kind === 'accepted')
        expect(await trial.waitForEnd(outcome.handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(readFileSync(mark, 'utf8').trim().split('\n').toSorted()).toEqual(
      requests.map(({ id }) => id as string).toSorted(),
    )
  })

  test('for what a user may have in the queue gets as many as it takes', async () => {
    set('hold')
    set('room', '7')
    const requests = Array.from({ length: 30 }, () => trial.shell('exit 0'))
    let taken = 0
    for (let tries = 0; taken < 7; tries += 1) {
      expect(tries).toBeLessThan(12)
      const left = requests.slice(taken)
      const outcomes = await trial.environment.submit(left, noSignal)
      taken += kinds(outcomes).filter((kind) => kind === 'accepted').length
      expect(kinds(outcomes)).not.toContain('rejected')
      requests.sort((a, b) => {
        const rank = ({ id }: JobRequest) => (outcomes.get(id)?.kind === 'deferred' ? 1 : 0)
        return rank(a) - rank(b)
      })
    }
    expect(listed()).toHaveLength(7)
    // Asked once when it is full, not once for each batch.
    verbs = []
    await trial.environment.submit(requests.slice(7), noSignal)
    expect(verbs.filter((verb) => verb === 'submit')).toHaveLength(1)
  })

  test('or refuses the jobs themselves is asked twice, not once for each', async () => {
    set('refuse', 'invalid partition specified: nowhere')
    const requests = Array.from({ length: 20 }, () => trial.shell('exit 0'))
    expect(new Set(kinds(await trial.environment.submit(requests, noSignal)))).toEqual(new Set(['rejected']))
    expect(verbs.filter((verb) => verb === 'submit')).toHaveLength(2)
  })
})

test('many jobs cost few submissions, and one question and one look a round', async () => {
  const requests = Array.from({ length: 60 }, () => trial.shell('exit 0'))
  const outcomes = await trial.environment.submit(requests, noSignal)
  expect(verbs.filter((verb) => verb === 'submit')).toHaveLength(2)
  const handles = [...outcomes.values()].flatMap((outcome) =>
    outcome.kind === 'accepted' ? [outcome.handle] : [],
  )
  expect(handles).toHaveLength(60)
  for (const handle of handles) await trial.waitForEnd(handle)
  verbs = []
  await trial.environment.observe(handles, noSignal)
  expect(verbs).toEqual(['list', 'files'])
})

test('more jobs than may be in the queue wait', async () => {
  options = { maxQueued: 2 }
  await trial.environment.close()
  await trial.open()
  const requests = Array.from({ length: 3 }, () => trial.shell('exit 0'))
  const outcomes = await trial.environment.submit(requests, noSignal)
  expect(requests.map(({ id }) => outcomes.get(id)?.kind)).toEqual(['accepted', 'accepted', 'deferred'])
})

test('outputs are asked for again after the connection was cut', async () => {
  const handle = await trial.submit(trial.shell('echo 1 > r', { outputs: [{ path: 'r' }] }))
  await trial.waitForEnd(handle)
  let cuts = 2
  fault = async (_, run) => {
    if (cuts > 0) {
      cuts -= 1
      await pause(5)
      throw cutOff
    }
    return run()
  }
  expect((await trial.collect(handle)).collected.files).toEqual(['r'])
  expect(warnings.filter((text) => text.includes('tried again'))).toHaveLength(2)
})
