import { expect, it, onTestFinished } from 'vitest'
import { FakeEnvironment } from '../environment/fake.ts'
import { Chores, type Chore } from './chores.ts'

const discard = (workDirectory: string): Chore => ({ kind: 'discard', workDirectory })

/** Chores of an environment that cannot discard these directories; the others are told as they are done. */
function begin(impossible: ReadonlySet<string>, left: readonly Chore[] = []) {
  const stop = new AbortController()
  const done: string[] = []
  const warnings: string[] = []
  let kept: readonly Chore[] = left
  const environment = Object.assign(new FakeEnvironment(), {
    discard: async (workDirectory: string) => {
      if (impossible.has(workDirectory)) throw new Error(`${workDirectory} is busy`)
      done.push(workDirectory)
    },
  })
  const store = {
    load: async () => left,
    save: async (chores: readonly Chore[]) => {
      kept = [...chores]
    },
  }
  const warn = (message: string) => void warnings.push(message)
  const chores = new Chores(environment, { store, signal: stop.signal, warn })
  onTestFinished(async () => {
    stop.abort()
    await chores.closed()
  })
  return { chores, done, warnings, kept: () => kept }
}

it('a chore that cannot be done keeps none of the others waiting, and is kept', async () => {
  const { done, warnings, kept } = begin(new Set(['bad']), [discard('bad'), discard('one'), discard('two')])
  await expect.poll(() => done, { timeout: 20_000 }).toEqual(['one', 'two'])
  await expect.poll(kept).toEqual([discard('bad')])
  expect(warnings[0]).toMatch(/bad is busy/)
})

it('what comes later is done in its order', async () => {
  const { chores, done, kept } = begin(new Set())
  for (const name of ['one', 'two', 'three']) await chores.add(discard(name))
  await expect.poll(() => done).toEqual(['one', 'two', 'three'])
  await expect.poll(kept).toEqual([])
})
