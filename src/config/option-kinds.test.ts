import { expect, test } from 'vitest'
import { mountPath } from './option-kinds.ts'

test('a mount is a path of plain segments', () => {
  const isMount = (path: string) => mountPath.schema.safeParse(path).success
  for (const path of ['/caesar', '/caesar/api/v1.0', '/a-b/c_d~'])
    expect([path, isMount(path)]).toEqual([path, true])
  for (const path of [
    '',
    '/',
    'caesar',
    '/a/',
    '//a',
    '/a//b',
    '/:id',
    '/a*',
    '/..',
    '/a/../b',
    '/a b',
    '/a%2f',
  ])
    expect([path, isMount(path)]).toEqual([path, false])
})
