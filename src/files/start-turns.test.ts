import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { StartTurns } from './start-turns.ts'

test('no more start at once than may, and the others come in their order', async () => {
  const turns = new StartTurns(2)
  const began: number[] = []
  const ends: (() => void)[] = []
  const begin = async (each: number): Promise<void> => {
    ends.push(await turns.take())
    began.push(each)
  }
  const all = Promise.all([0, 1, 2, 3, 4].map(begin))
  await nextTurn()
  expect(began).toEqual([0, 1])
  ends[1]?.()
  ends[1]?.()
  await nextTurn()
  expect(began).toEqual([0, 1, 2])
  for (const end of ends) end()
  await all
  expect(began).toEqual([0, 1, 2, 3, 4])
})

test('who leaves while waiting takes no turn', async () => {
  const turns = new StartTurns(1)
  const end = await turns.take()
  const leaving = new AbortController()
  const left = turns.take(leaving.signal)
  const next = turns.take()
  leaving.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  await expect(turns.take(leaving.signal)).rejects.toThrow('gone')
  end()
  const endNext = await next
  endNext()
  await expect(turns.take()).resolves.toBeTypeOf('function')
})
