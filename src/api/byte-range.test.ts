import { expect, test } from 'vitest'
import { parseByteRange } from './byte-range.ts'

test.each([
  ['bytes=0-0', { first: 0, last: 0 }],
  ['bytes=2-5', { first: 2, last: 5 }],
  ['bytes=2-', { first: 2, last: 9 }],
  ['bytes=2-99999999999999999999', { first: 2, last: 9 }],
  ['bytes=-3', { first: 7, last: 9 }],
  ['bytes=-99', { first: 0, last: 9 }],
])('%s of ten bytes is a part', (header, range) => {
  expect(parseByteRange(header, 10)).toEqual(range)
})

test.each(['bytes=10-', 'bytes=99999999999999999999-', 'bytes=-0'])(
  '%s of ten bytes lies outside',
  (header) => {
    expect(parseByteRange(header, 10)).toBe('unsatisfiable')
  },
)

test.each([
  undefined,
  '',
  'bytes=',
  'bytes=-',
  'bytes=5-2',
  'bytes=0-1,3-4',
  'lines=0-1',
  'bytes=a-b',
  'bytes=--1',
])('%s means the whole', (header) => {
  expect(parseByteRange(header, 10)).toBeUndefined()
})

test('no part of an empty file can be had', () => {
  expect(parseByteRange('bytes=0-', 0)).toBe('unsatisfiable')
  expect(parseByteRange('bytes=-5', 0)).toBe('unsatisfiable')
})
