import { expect, test } from 'vitest'
import { findChanges, showOptions } from './changes.ts'
import { resolveConfiguration } from './configuration.ts'

async function show(flags: Record<string, unknown>) {
  const { values } = await resolveConfiguration({
    flags,
    env: { HOME: '/home/ada' },
    readFile: () => Promise.reject(Object.assign(new Error('no file'), { code: 'ENOENT' })),
  })
  return showOptions(values)
}

test('what has changed between two starts is told in the words of the configuration', async () => {
  const before = await show({ slots: '2', port: '9000' })
  const after = await show({ slots: '4', port: '9000', host: '0.0.0.0' })
  expect(findChanges(before, after)).toEqual([
    'host: 127.0.0.1 -> 0.0.0.0',
    'slots: 2 -> 4',
    'isolation: best-effort -> required',
    'taskNetwork: true -> false',
  ])
  expect(findChanges(after, after)).toEqual([])
})

test('an option that an older version did not have is no change', async () => {
  const after = await show({})
  const { slots: _slots, ...before } = after
  expect(findChanges(before, after)).toEqual([])
  expect(findChanges({ gone: '1' }, after)).toEqual([])
})
