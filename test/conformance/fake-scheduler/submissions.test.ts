import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type JobHandle, type JobRequest } from '../../../src/environment/environment.ts'
import type { HostResult } from '../../../src/environment/host.ts'
import type { HostCommand } from '../../../src/environment/host.ts'
import { noSignal } from '../trial.ts'
import { until } from '../until.ts'
import { cutOff, FakeScene, verbOf } from './scene.fixtures.ts'

const scene = new FakeScene()

describe('a submission whose answer is lost', () => {
  test('is found in the queue, and its job runs once', async () => {
    const { request, runs } = scene.counted()
    scene.fault = async (command, run) => {
      const answer = await run()
      if (verbOf(command) === 'submit') throw cutOff
      return answer
    }
    scene.set('hold')
    const handle = await scene.trial.submit(request)
    expect(scene.listed()).toEqual([handle.nativeId])
    scene.clear('hold')
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(runs()).toBe(1)
    expect(scene.warnings.join()).toContain('gave no clear answer')
  })

  test('is found later where the queue cannot be asked either, also by the next life', async () => {
    const { request, runs } = scene.counted()
    scene.fault = async (command, run) => {
      if (verbOf(command) === 'submit') await run()
      if (verbOf(command) === 'submit' || verbOf(command) === 'list') throw cutOff
      return run()
    }
    scene.set('hold')
    await expect(scene.trial.environment.submit([request], noSignal)).rejects.toThrow('cut')
    scene.fault = undefined
    const again = await scene.trial.submit(request)
    await scene.trial.environment.close()
    await scene.trial.open()
    const [found] = await scene.trial.environment.recover([request.id], noSignal)
    expect(found?.nativeId).toBe(again.nativeId)
    expect(scene.listed()).toHaveLength(1)
    scene.clear('hold')
    await scene.trial.waitForEnd(found!)
    expect(runs()).toBe(1)
  })

  test('is made again where it never arrived', async () => {
    const { request, runs } = scene.counted()
    scene.fault = async (command, run) => {
      if (verbOf(command) === 'submit') throw cutOff
      return run()
    }
    const outcomes = await scene.trial.environment.submit([request], noSignal)
    expect(outcomes.get(request.id)).toMatchObject({ kind: 'deferred', reason: 'the connection was cut' })
    scene.fault = undefined
    await scene.trial.waitForEnd(await scene.trial.submit(request))
    expect(runs()).toBe(1)
  })

  /** The queue has it twice, since it lists what it got too late; its answers are lost at first. */
  async function submitTwice(request: JobRequest): Promise<JobHandle> {
    scene.set('hold')
    scene.fault = async (command, run) => {
      if (verbOf(command) === 'submit') {
        await run()
        throw cutOff
      }
      return listsNothing(command, run)
    }
    const outcomes = await scene.trial.environment.submit([request], noSignal)
    expect(outcomes.get(request.id)?.kind).toBe('deferred')
    scene.fault = listsNothing
    const handle = await scene.trial.submit(request)
    scene.fault = undefined
    expect(scene.listed()).toHaveLength(2)
    return handle
  }

  async function listsNothing(command: HostCommand, run: () => Promise<HostResult>): Promise<HostResult> {
    const answer = await run()
    return verbOf(command) === 'list'
      ? { ...answer, stdout: answer.stdout.replaceAll(/^\d+_\d+\|.*\n/gm, '') }
      : answer
  }

  test('runs its job once even where the queue lists it too late and gets it twice', async () => {
    const { request, runs } = scene.counted()
    const handle = await submitTwice(request)
    scene.clear('hold')
    await until('both are over', () => (scene.listed().length === 0 ? true : undefined))
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(runs()).toBe(1)
  })

  test('takes both back where the queue has it twice and it is cancelled', async () => {
    const { request, runs } = scene.counted()
    const handle = await submitTwice(request)
    await scene.trial.environment.cancel([handle], noSignal)
    expect(scene.listed()).toEqual([])
    expect(runs()).toBe(0)
  })
})

test('a refusal is told in the words of the scheduler, and nothing stays behind', async () => {
  const request = scene.trial.shell('exit 0')
  scene.set('refuse', 'invalid partition specified: nowhere')
  const outcome = (await scene.trial.environment.submit([request], noSignal)).get(request.id)
  expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringContaining('invalid partition') })
  scene.set('refuse', 'over quota')
  const later = (await scene.trial.environment.submit([request], noSignal)).get(request.id)
  expect(later).toMatchObject({ kind: 'deferred', reason: expect.stringContaining('over quota') })
  const files = readdirSync(scene.trial.ownDirectory, { recursive: true, encoding: 'utf8' })
  expect(files.filter((path) => path.includes(request.id))).toEqual([])
  scene.clear('refuse')
  expect((await scene.trial.run(request)).end).toMatchObject({ kind: 'exited', exitCode: 0 })
})

describe('a scheduler that takes fewer jobs at once than a batch holds', () => {
  const kinds = (outcomes: ReadonlyMap<unknown, { readonly kind: string }>) =>
    [...outcomes.values()].map(({ kind }) => kind)

  test('for the size of arrays gets smaller ones at once, and each job runs once', async () => {
    scene.set('largest', '4')
    const mark = join(scene.trial.directory, 'ran')
    const requests = Array.from({ length: 30 }, () => scene.trial.shell(`echo $MOLEHILL_JOB_ID >> ${mark}`))
    const outcomes = await scene.trial.environment.submit(requests, noSignal)
    expect(new Set(kinds(outcomes))).toEqual(new Set(['accepted']))
    expect(scene.verbs.filter((verb) => verb === 'submit').length).toBeLessThan(20)
    for (const outcome of outcomes.values())
      if (outcome.kind === 'accepted')
        expect(await scene.trial.waitForEnd(outcome.handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(readFileSync(mark, 'utf8').trim().split('\n').toSorted()).toEqual(
      requests.map(({ id }) => id as string).toSorted(),
    )
  })

  test('for what a user may have in the queue gets as many as it takes', async () => {
    scene.set('hold')
    scene.set('room', '7')
    const requests = Array.from({ length: 30 }, () => scene.trial.shell('exit 0'))
    let taken = 0
    for (let tries = 0; taken < 7; tries += 1) {
      expect(tries).toBeLessThan(12)
      const left = requests.slice(taken)
      const outcomes = await scene.trial.environment.submit(left, noSignal)
      taken += kinds(outcomes).filter((kind) => kind === 'accepted').length
      expect(kinds(outcomes)).not.toContain('rejected')
      requests.sort((a, b) => {
        const rank = ({ id }: JobRequest) => (outcomes.get(id)?.kind === 'deferred' ? 1 : 0)
        return rank(a) - rank(b)
      })
    }
    expect(scene.listed()).toHaveLength(7)
    // Asked once when it is full, not once for each batch.
    scene.verbs = []
    await scene.trial.environment.submit(requests.slice(7), noSignal)
    expect(scene.verbs.filter((verb) => verb === 'submit')).toHaveLength(1)
  })

  test('or refuses the jobs themselves is asked twice, not once for each', async () => {
    scene.set('refuse', 'invalid partition specified: nowhere')
    const requests = Array.from({ length: 20 }, () => scene.trial.shell('exit 0'))
    expect(new Set(kinds(await scene.trial.environment.submit(requests, noSignal)))).toEqual(
      new Set(['rejected']),
    )
    expect(scene.verbs.filter((verb) => verb === 'submit')).toHaveLength(2)
  })
})

test('many jobs cost few submissions, and one question and one look a round', async () => {
  const requests = Array.from({ length: 60 }, () => scene.trial.shell('exit 0'))
  const outcomes = await scene.trial.environment.submit(requests, noSignal)
  expect(scene.verbs.filter((verb) => verb === 'submit')).toHaveLength(2)
  const handles = [...outcomes.values()].flatMap((outcome) =>
    outcome.kind === 'accepted' ? [outcome.handle] : [],
  )
  expect(handles).toHaveLength(60)
  for (const handle of handles) await scene.trial.waitForEnd(handle)
  scene.verbs = []
  await scene.trial.environment.observe(handles, noSignal)
  expect(scene.verbs).toEqual(['list', 'files'])
})

test('more jobs than may be in the queue wait', async () => {
  scene.options = { maxQueued: 2 }
  await scene.trial.environment.close()
  await scene.trial.open()
  const requests = Array.from({ length: 3 }, () => scene.trial.shell('exit 0'))
  const outcomes = await scene.trial.environment.submit(requests, noSignal)
  expect(requests.map(({ id }) => outcomes.get(id)?.kind)).toEqual(['accepted', 'accepted', 'deferred'])
})
