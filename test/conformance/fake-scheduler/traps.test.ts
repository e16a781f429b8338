import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import type { HostResult } from '../../../src/environment/host.ts'
import { noSignal } from '../trial.ts'
import { until } from '../until.ts'
import { cutOff, FakeScene, verbOf } from './scene.fixtures.ts'

const scene = new FakeScene()

describe('no answer is no news', () => {
  test.each(['fails', 'is silent'])(
    'a list that %s is an error of the environment, and jobs go on',
    async (how) => {
      scene.set('hold')
      const handle = await scene.trial.submit(scene.trial.shell('exit 6'))
      if (how === 'fails') scene.set('broken')
      else
        scene.fault = async (command, run) =>
          verbOf(command) === 'list' ? { exitCode: 0, stdout: '', stderr: '' } : run()
      await expect(scene.trial.observe(handle)).rejects.toThrow(EnvironmentError)
      await expect(scene.trial.environment.check(noSignal)).rejects.toThrow(EnvironmentError)
      const findings = (await scene.trial.environment.inspect?.(noSignal)) ?? []
      expect(findings.filter(({ isGood }) => !isGood).map(({ what }) => what)).toEqual(['scheduler'])
      scene.clear('broken')
      scene.fault = undefined
      expect((await scene.trial.observe(handle)).kind).toBe('queued')
      scene.clear('hold')
      expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 6 })
    },
  )

  test('a list that was made before the job was submitted does not lose it', async () => {
    const stale: HostResult[] = []
    scene.fault = async (command, run) => {
      if (verbOf(command) !== 'list') return run()
      const answer = await run()
      stale.push(answer)
      // The mark of each question is another one: what stands between is what was heard first.
      const marks = (text: string) => /^(\S+)-begin\n([\s\S]*)\n\1-end/m.exec(text)
      const [, , first] = marks(stale[0]!.stdout)!
      const [, , now] = marks(answer.stdout)!
      return { ...answer, stdout: answer.stdout.replace(now!, () => first!) }
    }
    scene.set('hold')
    await scene.trial.environment.check(noSignal)
    const handle = await scene.trial.submit(scene.trial.shell('exit 0'))
    expect((await scene.trial.observe(handle)).kind).toBe('queued')
    scene.fault = undefined
    scene.clear('hold')
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
  })

  test('a state that nobody knows leaves its job as it was', async () => {
    scene.set('hold')
    const handle = await scene.trial.submit(scene.trial.shell('exit 0'))
    writeFileSync(join(scene.state, 'jobs', handle.nativeId, 'state'), 'meditating\n')
    expect(await scene.trial.observe(handle)).toMatchObject({
      kind: 'unclear',
      message: expect.stringContaining('meditating'),
    })
  })

  test('an accounting that is broken holds nobody up, and is told once', async () => {
    scene.fault = async (command, run) => {
      const answer = await run()
      if (verbOf(command) !== 'account') return answer
      return { ...answer, stdout: answer.stdout.replace(/-end 0\n$/, '-end 1\n'), stderr: 'no database' }
    }
    const { end } = await scene.trial.run(scene.trial.shell('kill -KILL $$'))
    expect(end).toMatchObject({ kind: 'stopped', cause: 'signal' })
    expect(scene.warnings.filter((text) => text.includes('no database'))).toHaveLength(1)
  })

  test('a login that talks is not listened to', async () => {
    scene.fault = async (_, run) => {
      const { exitCode, stdout, stderr } = await run()
      return {
        exitCode,
        stdout: `Welcome\n7\n1_0|x|0|running\n${stdout}Bye|bye|1|done\n`,
        stderr: `Hi\n${stderr}`,
      }
    }
    const { end, stdout } = await scene.trial.run(scene.trial.shell('echo "$LANG"; exit 5'))
    expect(end).toMatchObject({ kind: 'exited', exitCode: 5 })
    expect(stdout).toBe('tr_TR.UTF-8\n')
  })
})

describe('cancelling', () => {
  test('what the scheduler has only just got keeps it from starting', async () => {
    const { request, runs } = scene.counted()
    scene.set('hold')
    const handle = await scene.trial.submit(request)
    // The request to the scheduler goes nowhere.
    scene.fault = async (command, run) =>
      verbOf(command) === 'cancel' ? { exitCode: 0, stdout: 'x-begin\n\nx-end 0\n', stderr: '' } : run()
    await scene.trial.environment.cancel([handle], noSignal).catch(() => undefined)
    scene.fault = undefined
    scene.clear('hold')
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect(runs()).toBe(0)
  })

  test('ends a job that would wait for ever, which is then told as stopped', async () => {
    scene.set('hold')
    const handle = await scene.trial.submit(scene.trial.shell('exit 0'))
    writeFileSync(join(scene.state, 'jobs', handle.nativeId, 'state'), 'stuck\n')
    expect(await scene.trial.observe(handle)).toMatchObject({
      kind: 'stopped',
      message: 'would wait for ever',
    })
    expect(scene.listed()).toEqual([])
  })

  test('many jobs at one time is one request', async () => {
    scene.set('hold')
    const requests = Array.from({ length: 20 }, () => scene.trial.shell('exit 0'))
    const outcomes = await scene.trial.environment.submit(requests, noSignal)
    const handles = [...outcomes.values()].flatMap((outcome) =>
      outcome.kind === 'accepted' ? [outcome.handle] : [],
    )
    scene.verbs = []
    await Promise.all(handles.map((handle) => scene.trial.environment.cancel([handle], noSignal)))
    expect(scene.verbs.filter((verb) => verb === 'cancel')).toHaveLength(1)
    await Promise.all(handles.map((handle) => scene.trial.environment.release([handle], noSignal)))
    // Both times marks, the request itself and a look for copies; then the directories.
    expect(scene.verbs.length).toBeLessThanOrEqual(7)
  })
})

describe('exit files', () => {
  test.each(['late', 'empty for a while'])('that are %s are waited for', async (how) => {
    const { handle } = await scene.trial.run(scene.trial.shell('exit 7'))
    const exit = join(scene.placeOf(handle), 'exit')
    renameSync(exit, `${exit}.aside`)
    if (how !== 'late') writeFileSync(exit, '')
    const again = { ...handle }
    await scene.trial.environment.close()
    await scene.trial.open()
    expect((await scene.trial.observe(again)).kind).toBe('running')
    renameSync(`${exit}.aside`, exit)
    expect(await scene.trial.observe(again)).toMatchObject({ kind: 'exited', exitCode: 7 })
  })

  test('that never come end the job with the word of the accounting', async () => {
    const handle = await scene.trial.submit(scene.trial.shell('exit 7'))
    await until('it is over', () => (existsSync(join(scene.placeOf(handle), 'exit')) ? true : undefined))
    rmSync(join(scene.placeOf(handle), 'exit'))
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringContaining('left no exit file'),
    })
  })

  test('say that a signal ended a job, and the accounting says why', async () => {
    scene.fault = async (command, run) => {
      const answer = await run()
      if (verbOf(command) !== 'account') return answer
      return { ...answer, stdout: answer.stdout.replace('|ended|0', '|killed-for-memory|') }
    }
    const { end } = await scene.trial.run(scene.trial.shell('kill -KILL $$'))
    expect(end).toMatchObject({ kind: 'stopped', cause: 'out-of-memory' })
  })
})

test('a job that vanished without a word is lost, after a while', async () => {
  const handle = await scene.trial.submit(scene.trial.shell('exec sleep 600'))
  await scene.trial.waitForRunning(handle)
  scene.kill(handle)
  expect((await scene.trial.observe(handle)).kind).toBe('running')
  expect((await scene.trial.waitForEnd(handle)).kind).toBe('lost')
})

test('an accounting that is silent for too long holds nobody up', async () => {
  scene.fault = async (command, run) => {
    if (verbOf(command) === 'account') throw new EnvironmentError('sacct was not carried out within 60000 ms')
    return run()
  }
  const { end } = await scene.trial.run(scene.trial.shell('kill -KILL $$'))
  expect(end).toMatchObject({ kind: 'stopped', cause: 'signal' })
  expect(scene.warnings.filter((text) => text.includes('60000 ms'))).toHaveLength(1)
})

describe('a scheduler that begins its numbers anew', () => {
  test('is not asked to end another job that has the number of a lost one', async () => {
    scene.set('hold')
    const lost = await scene.trial.submit(scene.trial.shell('exit 0'))
    for (const name of ['jobs', 'over', 'counter'])
      rmSync(join(scene.state, name), { recursive: true, force: true })
    const other = await scene.trial.submit(scene.trial.shell('exit 3'))
    expect(other.nativeId).toBe(lost.nativeId)
    expect((await scene.trial.waitForEnd(lost)).kind).toBe('lost')
    await scene.trial.environment.cancel([lost], noSignal)
    await scene.trial.environment.release([lost], noSignal)
    expect(scene.listed()).toEqual([other.nativeId])
    scene.clear('hold')
    expect(await scene.trial.waitForEnd(other)).toMatchObject({ kind: 'exited', exitCode: 3 })
  })

  test('says in its accounting what became of an earlier job, which is not believed', async () => {
    mkdirSync(join(scene.state, 'over'), { recursive: true })
    writeFileSync(join(scene.state, 'over', '1_0'), '1_0|cancelled||m-another\n')
    const handle = await scene.trial.submit(scene.trial.shell('exec sleep 600'))
    expect(handle.nativeId).toBe('1_0')
    await scene.trial.waitForRunning(handle)
    scene.kill(handle)
    expect((await scene.trial.waitForEnd(handle)).kind).toBe('lost')
  })
})

test.each([true, false])(
  'a disk on which no mark can be made keeps no job alive, files shared: %s',
  async (sharesFiles) => {
    await scene.trial.close()
    await scene.open(sharesFiles)
    const stuck = await scene.trial.submit(scene.trial.shell('exec sleep 600'))
    const other = await scene.trial.submit(scene.trial.shell('exec sleep 600'))
    await scene.trial.waitForRunning(stuck)
    await scene.trial.waitForRunning(other)
    symlinkSync('/nowhere/at-all', join(scene.placeOf(stuck), 'cancelled'))
    await scene.trial.environment.cancel([stuck, other], noSignal)
    expect(scene.warnings.join()).toMatch(/cancelled/)
    for (const handle of [stuck, other]) expect((await scene.trial.waitForEnd(handle)).kind).toBe('stopped')
    expect(existsSync(join(scene.placeOf(other), 'cancelled'))).toBe(true)
  },
)

test('outputs are asked for again after the connection was cut', async () => {
  const handle = await scene.trial.submit(scene.trial.shell('echo 1 > r', { outputs: [{ path: 'r' }] }))
  await scene.trial.waitForEnd(handle)
  let cuts = 2
  scene.fault = async (_, run) => {
    if (cuts > 0) {
      cuts -= 1
      await pause(5)
      throw cutOff
    }
    return run()
  }
  expect((await scene.trial.collect(handle)).collected.files).toEqual(['r'])
  expect(scene.warnings.filter((text) => text.includes('tried again'))).toHaveLength(2)
})
