import { expect, test } from 'vitest'
import { JobAllowance, JobAllowances, type SharingRun } from './job-allowance.ts'

/** A run with jobs to start, which starts what it may whenever it is woken. */
function makeRun(allowance: JobAllowance, waiting: number) {
  const run = {
    busy: 0,
    waiting,
    wakes: 0,
    wake() {
      run.wakes += 1
      const granted = allowance.grant(run.waiting)
      run.busy += granted
      run.waiting -= granted
      allowance.changed()
    },
    end(jobs: number) {
      run.busy -= jobs
      run.wake()
    },
  } satisfies SharingRun & Record<string, unknown>
  allowance.add(run)
  return run
}

test('executions of one owner share what may run, and go on as soon as jobs of others end', () => {
  const allowance = new JobAllowance(() => 3)
  const [first, second] = [makeRun(allowance, 2), makeRun(allowance, 5)]
  first.wake()
  second.wake()
  expect([first.busy, second.busy]).toEqual([2, 1])
  first.end(2)
  expect([first.busy, second.busy, second.waiting]).toEqual([0, 3, 2])
  second.end(1)
  expect(second).toMatchObject({ busy: 3, waiting: 1 })
})

test('an execution that is gone leaves its share to others', () => {
  const allowance = new JobAllowance(() => 2)
  const [first, second] = [makeRun(allowance, 2), makeRun(allowance, 2)]
  first.wake()
  second.wake()
  expect(second.busy).toBe(0)
  allowance.remove(first)
  expect(second.busy).toBe(2)
})

test('nobody is woken for nothing: what wants more and cannot use what it gets ends no other way', () => {
  const allowance = new JobAllowance(() => 4)
  let wakes = 0
  // Wants a group of ten and takes none of fewer.
  const run: SharingRun = {
    busy: 0,
    wake() {
      wakes += 1
      allowance.grant(10)
      allowance.changed()
    },
  }
  allowance.add(run)
  run.wake()
  expect(wakes).toBe(1)
})

test('another limit holds from when it is told', () => {
  let limit = 0
  const allowances = new JobAllowances(() => limit)
  const allowance = allowances.of('ann') ?? new JobAllowance(() => 0)
  const run = makeRun(allowance, 3)
  run.wake()
  expect(run.busy).toBe(0)
  limit = 2
  allowances.lookAgain('bob')
  expect(run.busy).toBe(0)
  allowances.lookAgain('ann')
  expect(run.busy).toBe(2)
})

test('without a limit all is granted, and the operator has no allowance', () => {
  const allowances = new JobAllowances(() => Number.POSITIVE_INFINITY)
  expect(allowances.of('')).toBeUndefined()
  expect(allowances.of('ann')).toBe(allowances.of('ann'))
  expect(allowances.of('ann')?.grant(1e9)).toBe(1e9)
})
