import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

test('as many pass at once as may in a minute, and the next one waits its turn', async () => {
  let now = 0
  const pace = new Pace(2, () => now)
  await pace.take(new AbortController().signal)
  now = 59_990
  await pace.take(new AbortController().signal)
  const begin = performance.now()
  await pace.take(new AbortController().signal)
  expect(performance.now() - begin).toBeGreaterThanOrEqual(5)
  const abort = new AbortController()
  const waiting = pace.take(abort.signal)
  abort.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('abort')
})
