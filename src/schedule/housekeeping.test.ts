import { expect, test, vi } from 'vitest'
import { createDiskReserve } from '../files/disk-reserve.ts'
import { startHousekeeping } from './housekeeping.ts'

const patience = { timeout: 10_000, interval: 10 }

test('by the clock, old executions go, uploads are swept, and a full disk is told of once', async () => {
  const told: string[] = []
  const ended = {
    name: 'flow',
    owner: '',
    labels: {},
    script: 'flow.ts',
    state: 'finished',
    isCancelled: false,
    startedAt: 0,
  } as const
  const all = new Map([['old', { ...ended, id: 'old', endedAt: 100 }]])
  let freeBytes = 1
  let sweeps = 0
  const work = await startHousekeeping({
    executions: { list: () => [...all.values()], remove: async (id) => void all.delete(id) },
    retention: { retentionMs: 100, maxFinished: 0 },
    disk: createDiskReserve({ directory: '/data', reserveBytes: 2, readFreeBytes: async () => freeBytes }),
    sweepUploads: async () => (sweeps += 1) && 0,
    everyMs: 20,
    now: () => 1000,
    report: {
      expired: (id) => told.push(`expired ${id}`),
      info: (message) => told.push(message),
      warn: (message) => told.push(message),
    },
  })
  try {
    await vi.waitFor(() => expect(sweeps).toBeGreaterThan(2), patience)
    await vi.waitFor(() => expect(told).toHaveLength(2), patience)
    expect([...told].sort()).toEqual([expect.stringContaining('nothing new is taken'), 'expired old'])
    freeBytes = 3
    await vi.waitFor(() => expect(told).toHaveLength(3), patience)
    expect(told[2]).toBe('There is enough space on the disk again.')
  } finally {
    await work.close()
  }
})
