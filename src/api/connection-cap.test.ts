import { expect, it } from 'vitest'
import { capConnections } from './connection-cap.ts'

it('takes as many connections as asked for where that leaves two fifths of the descriptors', () => {
  expect(capConnections(1200, 2000)).toMatchObject({ maxConnections: 1200, remark: undefined })
  expect(capConnections(1000, undefined)).toMatchObject({ maxConnections: 1000, remark: undefined })
})

it('takes fewer where the system lets it open little, and says why', () => {
  const { maxConnections, remark } = capConnections(1000, 256)
  expect(maxConnections).toBe(153)
  expect(remark).toContain('at most 153 connections instead of 1000: only 256 files')
  expect(capConnections(10, 1).maxConnections).toBe(1)
})

it('takes more only to refuse them in words, out of the same share', () => {
  expect(capConnections(1000, undefined).refusedConnections).toBe(1000)
  expect(capConnections(100, 20_000).refusedConnections).toBe(100)
  expect(capConnections(9000, 20_000).refusedConnections).toBe(1000)
  expect(capConnections(11_990, 20_000).refusedConnections).toBe(10)
  expect(capConnections(1000, 256).refusedConnections).toBe(0)
})
