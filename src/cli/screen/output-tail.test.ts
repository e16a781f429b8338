import { expect, test } from 'vitest'
import { createOutputTail } from './output-tail.ts'

test('each call gives the lines that are new', () => {
  const tail = createOutputTail()
  expect(tail.next('one\n')).toBe('one\n')
  expect(tail.next('one\n')).toBe('')
  expect(tail.next('one\ntwo\nthr')).toBe('two\n')
  expect(tail.rest('one\ntwo\nthree')).toBe('three')
})

test('when the middle was left out meanwhile, the rest begins where the two part', () => {
  const tail = createOutputTail()
  tail.next('one\ntwo\nthree\n')
  expect(tail.next('one\ntwo\n[left out]\nnine\n')).toBe('')
  expect(tail.rest('one\ntwo\n[left out]\nnine\n')).toBe('[left out]\nnine\n')
})
