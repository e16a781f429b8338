import { expect, test } from 'vitest'
import { readEntryEnvironments } from './entry-environments.ts'

test('each workflow has its environment', () => {
  expect([...readEntryEnvironments(' source-finder=cluster,word-count=local\nx=y ')]).toEqual([
    ['source-finder', 'cluster'],
    ['word-count', 'local'],
    ['x', 'y'],
  ])
  expect(readEntryEnvironments('').size).toBe(0)
})

test.each(['a', 'a=', '=b', 'a=b=c', '../a=b'])('%j is refused', (text) => {
  expect(() => readEntryEnvironments(text)).toThrow('expected WORKFLOW=ENVIRONMENT')
})
