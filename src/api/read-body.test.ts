import { PassThrough, Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { watchBody } from './read-body.ts'

const idleMs = 200

test('a client that is silent for too long is given up', async () => {
  const body = new PassThrough()
  const watch = watchBody(body, 100, idleMs)
  body.resume()
  await expect(watch.done).rejects.toMatchObject({ code: 'body-invalid' })
  watch.stop()
})

test('a reader that takes its time is not held against the client', async () => {
  const body = Readable.from(['one', 'two'], { objectMode: false })
  const slow = new Writable({
    highWaterMark: 1,
    write: (_, __, taken) => void setTimeout(taken, 4 * idleMs),
  })
  const watch = watchBody(body, 100, idleMs)
  body.pipe(slow)
  await watch.done
  watch.stop()
})

test('after a slow reader the client has all its time again, and no more', async () => {
  const body = new PassThrough()
  const watch = watchBody(body, 100, idleMs)
  body.write('one')
  body.pause()
  await delay(1.5 * idleMs)
  const resumedAt = performance.now()
  body.resume()
  await expect(watch.done).rejects.toMatchObject({ code: 'body-invalid' })
  expect(performance.now() - resumedAt).toBeGreaterThan(idleMs * 0.9)
  watch.stop()
})

test('what came while this process was busy still counts', async () => {
  const body = new PassThrough()
  const watch = watchBody(body, 100, idleMs)
  body.resume()
  // As a socket does, whose data is read in the turn after timers have fired.
  setImmediate(() => body.end('late'))
  const until = performance.now() + 1.5 * idleMs
  while (performance.now() < until);
  await watch.done
  watch.stop()
})
