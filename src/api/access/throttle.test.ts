import { expect, test } from 'vitest'
import { createThrottle } from './throttle.ts'

function start() {
  const clock = { ms: 1_000_000 }
  const throttle = createThrottle(() => clock.ms)
  const isOpen = (address: string) => {
    try {
      throttle.check(address)
      return true
    } catch {
      return false
    }
  }
  const guess = (address: string, times: number) => {
    for (let n = 0; n < times; n += 1) throttle.wrong(address)
  }
  return { clock, throttle, isOpen, guess }
}

test('five wrong tries close the door to that address only, for a minute', () => {
  const { clock, throttle, isOpen, guess } = start()
  guess('a', 4)
  expect(isOpen('a')).toBe(true)
  clock.ms += 10_000
  guess('a', 1)
  expect(isOpen('a')).toBe(false)
  expect(isOpen('b')).toBe(true)
  expect(() => throttle.check('a')).toThrow(
    expect.objectContaining({ code: 'password-throttled', retryAfterSeconds: 50 }),
  )
  clock.ms += 49_999
  expect(isOpen('a')).toBe(false)
  clock.ms += 1
  expect(isOpen('a')).toBe(true)
})

test('twenty wrong tries from anywhere close the door to all', () => {
  const { clock, isOpen, guess } = start()
  for (let n = 0; n < 19; n += 1) guess(`address ${n}`, 1)
  expect(isOpen('new')).toBe(true)
  guess('last', 1)
  expect(isOpen('new')).toBe(false)
  clock.ms += 60_000
  expect(isOpen('new')).toBe(true)
})

test('the right password forgets the wrong ones of its address', () => {
  const { throttle, isOpen, guess } = start()
  guess('a', 5)
  guess('b', 5)
  throttle.right('a')
  expect(isOpen('a')).toBe(true)
  expect(isOpen('b')).toBe(false)
})

test('a clock that is set back locks nobody out', () => {
  const { clock, isOpen, guess } = start()
  guess('a', 20)
  clock.ms -= 3_600_000
  expect(isOpen('a')).toBe(true)
})

test('the waiting time is never under a second and says when there is room', () => {
  const { clock, throttle, guess } = start()
  guess('a', 5)
  clock.ms += 59_999
  expect(() => throttle.check('a')).toThrow(expect.objectContaining({ retryAfterSeconds: 1 }))
  clock.ms -= 20_000
  guess('b', 15)
  expect(() => throttle.check('a')).toThrow(expect.objectContaining({ retryAfterSeconds: 21 }))
  expect(() => throttle.check('b')).toThrow(expect.objectContaining({ retryAfterSeconds: 60 }))
})
