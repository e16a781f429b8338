import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fakeArchive } from '../../test/helpers/fake-volunteer.ts'
import { compareNumbers, isNear } from './numbers-agree.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-agree-'))
})

afterEach(() => rm(directory, { recursive: true }))

async function put(name: string, content: Buffer): Promise<string> {
  await writeFile(join(directory, name), content)
  return join(directory, name)
}

const agreement = { kind: 'numbers', relative: 1e-3, absolute: 0 } as const

test.each([
  ['1000 steps: 2.5e-3\n', '1000 steps: 2.501e-3\n', 'same'],
  ['1000 steps: 2.5e-3\n', '1000 steps: 2.51e-3\n', 'different'],
  ['1000 steps: 2.5e-3\n', '1000 moves: 2.5e-3\n', 'different'],
  ['1 2\n', '1 2 3\n', 'different'],
])('compares %j with %j', async (one, other, expected) => {
  const left = await put('one', fakeArchive(one))
  const right = await put('other', fakeArchive(other))
  expect(await compareNumbers(left, right, agreement)).toEqual({ kind: expected })
})

test('how the job ended must be the same', async () => {
  const left = await put('one', fakeArchive('1'))
  const right = await put('other', fakeArchive('1', 1))
  expect(await compareNumbers(left, right, agreement)).toEqual({ kind: 'different' })
})

test('says what cannot be read', async () => {
  const left = await put('one', fakeArchive('1'))
  const right = await put('other', Buffer.from('no archive'))
  expect(await compareNumbers(left, right, agreement)).toMatchObject({ kind: 'unclear' })
})

test.each([
  [1, 1.01, { relative: 0.01, absolute: 0 }, true],
  [1, 1.02, { relative: 0.01, absolute: 0 }, false],
  [-1, 1, { relative: 0.5, absolute: 0 }, false],
  [0, 1e-9, { relative: 0.5, absolute: 0 }, false],
  [0, 1e-9, { relative: 0, absolute: 1e-8 }, true],
  [Infinity, Infinity, { relative: 0, absolute: 1 }, true],
  [Infinity, 1, { relative: 1, absolute: 1 }, false],
  [NaN, 1, { relative: 1, absolute: 1e9 }, false],
])('%d is near %d by %j: %s', (one, other, tolerance, expected) => {
  expect(isNear(one, other, tolerance)).toBe(expected)
  expect(isNear(other, one, tolerance)).toBe(expected)
})
