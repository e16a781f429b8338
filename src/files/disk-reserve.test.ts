import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { createDiskReserve } from './disk-reserve.ts'

const mebibyte = 2 ** 20

function reserve(freeBytes: number, reserveBytes: number) {
  return createDiskReserve({ directory: '/data', reserveBytes, readFreeBytes: async () => freeBytes })
}

test('below the reserve nothing new is taken, and the refusal has figures', async () => {
  await expect(reserve(100.4 * mebibyte, 512 * mebibyte).check()).rejects.toMatchObject({
    code: 'disk-full',
    message: 'Expected at least 512 MiB free where /data lies, found 100.4 MiB: nothing new is taken.',
    retryAfterSeconds: 60,
  })
})

test('at the reserve and above it all is well', async () => {
  await expect(reserve(512 * mebibyte, 512 * mebibyte).check()).resolves.toBeUndefined()
})

test('without a reserve a full disk is no matter', async () => {
  await expect(reserve(0, 0).check()).resolves.toBeUndefined()
})

test('a real file system tells how much is free', async () => {
  const real = createDiskReserve({ directory: tmpdir(), reserveBytes: 1 })
  expect(await real.freeBytes()).toBeGreaterThan(0)
})
