import { expect, test } from 'vitest'
import { gather } from './gather.ts'

const options = { delayMs: 1, mostAtOnce: 3, mostRunning: 1 }

test('calls that are made close together become one, up to a bound', async () => {
  const runs: (readonly number[])[] = []
  const double = gather((items: readonly number[]) => {
    runs.push(items)
    return Promise.resolve(new Map(items.map((item) => [item, item * 2])))
  }, options)
  const results = await Promise.all([1, 2, 3, 4, 5].map(async (item) => (await double(item)).get(item)))
  expect(results).toEqual([2, 4, 6, 8, 10])
  expect(runs).toEqual([
    [1, 2, 3],
    [4, 5],
  ])
})

test('calls gather while others run, and no more run than may', async () => {
  const gates: (() => void)[] = []
  const ask = gather(
    (items: readonly number[]) => new Promise<number>((resolve) => gates.push(() => resolve(items.length))),
    options,
  )
  const first = ask(1)
  await expect.poll(() => gates.length).toBe(1)
  const later = [ask(2), ask(3)]
  gates[0]?.()
  expect(await first).toBe(1)
  await expect.poll(() => gates.length).toBe(2)
  gates[1]?.()
  expect(await Promise.all(later)).toEqual([2, 2])
})

test('an error goes to those who were gathered, and later calls are served', async () => {
  let isBroken = true
  const ask = gather(async (items: readonly number[]) => {
    if (isBroken) throw new Error('broken')
    return items.length
  }, options)
  await expect(Promise.all([ask(1), ask(2)])).rejects.toThrow('broken')
  isBroken = false
  expect(await ask(3)).toBe(1)
})
