import { expect, test } from 'vitest'
import { createTestApi } from '../../../test/helpers/api-server.ts'
import { addressKey, createRequestLimiter } from './request-limiter.ts'

function start(perSecond: number, burst: number) {
  const clock = { ms: 0 }
  const limiter = createRequestLimiter({ perSecond, burst, elapsedMs: () => clock.ms })
  /** How many of so many requests pass. */
  const send = (key: string, times: number) => {
    let passed = 0
    for (let n = 0; n < times; n += 1)
      try {
        limiter.take(key)
        passed += 1
      } catch {
        // Counted by not being counted.
      }
    return passed
  }
  return { clock, limiter, send }
}

test('a burst passes, then as many as the rate allows', () => {
  const { clock, send } = start(50, 200)
  expect(send('a', 300)).toBe(200)
  clock.ms += 100
  expect(send('a', 300)).toBe(5)
  clock.ms += 3_600_000
  expect(send('a', 300)).toBe(200)
})

test('the one does not pay for the other', () => {
  const { send } = start(50, 200)
  send('a', 300)
  expect(send('b', 10)).toBe(10)
})

test('a refusal says when to try again', () => {
  const { limiter, send } = start(1, 1)
  send('a', 1)
  expect(() => limiter.take('a')).toThrow(
    expect.objectContaining({ code: 'requests-throttled', retryAfterSeconds: 1 }),
  )
})

test('polling every 50 ms is never refused', () => {
  const { clock, send } = start(50, 200)
  let passed = 0
  for (let n = 0; n < 10_000; n += 1) {
    passed += send('a', 1)
    clock.ms += 50
  }
  expect(passed).toBe(10_000)
})

test('to be asked whether one would pass costs nothing', () => {
  const { limiter, send } = start(1, 2)
  for (let n = 0; n < 10; n += 1) limiter.check('a')
  expect(send('a', 3)).toBe(2)
  expect(() => limiter.check('a')).toThrow('at most 1 requests a second')
})

test('a rate of 0 limits nothing', () => {
  expect(start(0, 1).send('a', 1000)).toBe(1000)
})

test('only so many senders are remembered: those seen last', () => {
  const { send } = start(1, 1)
  send('first', 1)
  for (let n = 0; n < 9_999; n += 1) send(`other ${n}`, 1)
  expect(send('first', 1)).toBe(0)
  for (let n = 0; n < 10_000; n += 1) send(`third ${n}`, 1)
  expect(send('first', 1)).toBe(1)
})

test.each([
  ['127.0.0.1', 'address 127.0.0.1'],
  ['::ffff:10.0.0.7', 'address 10.0.0.7'],
  ['2001:db8:0:1:aaaa:bbbb:cccc:dddd', 'address 2001:db8:0:1::/64'],
  ['2001:0db8:0::1', 'address 2001:db8:0:0::/64'],
  ['::1', 'address 0:0:0:0::/64'],
  ['fe80::1%eth0', 'address fe80:0:0:0::/64'],
  ['', 'address '],
])('%s counts as %s', (address, key) => {
  expect(addressKey(address)).toBe(key)
})

test('an address and a token are refused by the API, and probes never are', async () => {
  const taken: string[] = []
  await using test = await createTestApi({
    limiter: {
      check: () => undefined,
      take(key) {
        taken.push(key)
        if (key === 'token good2')
          createRequestLimiter({ perSecond: 1, burst: 0, elapsedMs: () => 0 }).take(key)
      },
    },
  })
  expect((await test.post('/list', { token: 'good' })).status).toBe(200)
  expect(taken).toEqual(['address ', 'token good'])
  const refused = await test.post('/list', { token: 'good2' })
  expect(refused.status).toBe(429)
  expect(refused.headers.get('retry-after')).toBe('1')
  expect(await refused.json()).toMatchObject({ code: 'requests-throttled' })
  taken.length = 0
  expect((await test.api.request('/readyz', {}, {})).status).toBe(200)
  expect(taken).toEqual([])
})
