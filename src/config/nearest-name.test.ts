import { expect, test } from 'vitest'
import { nearestName } from './nearest-name.ts'

const known = ['port', 'host', 'tokenLifetime', 'passwordFile', 'tlsCert']

test.each([
  ['prot', 'port'],
  ['Port', 'port'],
  ['token-lifetime', 'tokenLifetime'],
  ['tokenLifetimeMs', 'tokenLifetime'],
  ['password', 'passwordFile'],
  ['tlsCret', 'tlsCert'],
])('%s is taken to mean %s', (typed, meant) => {
  expect(nearestName(typed, known)).toBe(meant)
})

test.each(['banana', '', 'zz', 'p'.repeat(1_000_000)])('nothing is near to a name like that', (typed) => {
  expect(nearestName(typed, known)).toBeUndefined()
})
