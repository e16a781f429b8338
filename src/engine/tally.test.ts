import { expect, test } from 'vitest'
import { count, Tally } from './tally.ts'

/** A job of the first capsule has failed on the first environment, and nothing of that is committed. */
function failing(): Tally {
  const tally = new Tally(1, 1)
  count(tally.runningOn, 0, 1)
  count(tally.running, 0, 1)
  count(tally.runningOn, 0, -1)
  tally.totals.environments[0]!.failed += 1
  return tally
}

test('a job that has failed for good runs until that is committed', () => {
  const tally = failing()
  count(tally.running, 0, -1)
  tally.totals.capsules[0]!.failed += 1
  expect(tally.environment(0)).toEqual({ submitted: 0, running: 1, done: 0, failed: 0 })
  expect(tally.capsule(0)).toEqual({ running: 1, completed: 0, failed: 0 })
  tally.commit(tally.snapshot())
  expect(tally.environment(0)).toEqual({ submitted: 0, running: 0, done: 0, failed: 1 })
  expect(tally.capsule(0)).toEqual({ running: 0, completed: 0, failed: 1 })
})

test('a job that has failed and is tried again waits, and runs nowhere', () => {
  const tally = failing()
  count(tally.running, 0, -1)
  count(tally.ready, 0, 1)
  count(tally.retriedOn, 0, 1)
  expect(tally.environment(0)).toEqual({ submitted: 0, running: 0, done: 0, failed: 0 })
  tally.commit(tally.snapshot())
  expect(tally.environment(0)).toEqual({ submitted: 0, running: 0, done: 0, failed: 1 })
})
