import { expect, it } from 'vitest'
import { capConnections } from './connection-cap.ts'

it('takes as many connections as asked for where that leaves half of the descriptors', () => {
  expect(capConnections(1000, 2000)).toEqual({ maxConnections: 1000, remark: undefined })
  expect(capConnections(1000, undefined)).toEqual({ maxConnections: 1000, remark: undefined })
})

it('takes fewer where the system lets it open little, and says why', () => {
  const { maxConnections, remark } = capConnections(1000, 256)
  expect(maxConnections).toBe(128)
  expect(remark).toContain('at most 128 connections instead of 1000: only 256 files')
  expect(capConnections(10, 1).maxConnections).toBe(1)
})
