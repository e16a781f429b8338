import { describe, expect, test } from 'vitest'
import { chooseWork, slotsLeft, type Candidate, type HostRoom } from './choose-work.ts'
import { isHasty, nextRequestSeconds, requestDelaySeconds } from './contact-delay.ts'
import { creditOf, withCredit } from './credit.ts'
import { firstQuota, quotaAfter, quotaLeft } from './daily-quota.ts'
import { hostClassOf, identifyHost, isSimilar } from './host-identity.ts'

const room: HostRoom = {
  cpus: 2,
  memoryBytes: 8e9,
  diskBytes: 10e9,
  held: { count: 0, estimatedMs: 0, diskBytes: 0 },
  quotaLeft: 100,
  wanted: { cpuSeconds: 1, idleCpus: 0 },
}

function work(id: number, changes: Partial<Candidate> = {}): Candidate {
  return { id, cpus: 1, estimatedMs: 60_000, memoryBytes: 1e9, diskBytes: 1e9, ...changes }
}

function idsFor(changes: Partial<HostRoom>, candidates: readonly Candidate[]): number[] {
  return chooseWork({ ...room, ...changes }, candidates).map(({ id }) => id)
}

describe('the work of a host', () => {
  const many = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => work(id))

  test('is one piece where it asks for a second, as clients do first', () => {
    expect(idsFor({}, many)).toEqual([1])
  })

  test('is as much as keeps it busy for the time it asks for', () => {
    expect(idsFor({ wanted: { cpuSeconds: 130, idleCpus: 0 } }, many)).toEqual([1, 2, 3])
  })

  test('is a piece for each idle processor', () => {
    expect(idsFor({ wanted: { cpuSeconds: 1, idleCpus: 2 } }, many)).toEqual([1, 2])
  })

  test('is never more than its processors and a few, however much it asks for', () => {
    expect(idsFor({ wanted: { cpuSeconds: 1e9, idleCpus: 0 } }, many)).toEqual([1, 2, 3, 4])
    const held = { count: 3, estimatedMs: 180_000, diskBytes: 0 }
    expect(idsFor({ held, wanted: { cpuSeconds: 1e9, idleCpus: 0 } }, many)).toEqual([1])
    expect(slotsLeft({ ...room, held: { ...held, count: 4 } })).toBe(0)
  })

  test('is more of what is short', () => {
    const short = many.map(({ id }) => work(id, { estimatedMs: 1000 }))
    expect(idsFor({ wanted: { cpuSeconds: 1e9, idleCpus: 0 } }, short)).toHaveLength(8)
  })

  test('is no more than its quota', () => {
    expect(idsFor({ quotaLeft: 2, wanted: { cpuSeconds: 1e9, idleCpus: 0 } }, many)).toEqual([1, 2])
  })

  test.each([
    ['memory', { memoryBytes: 9e9 }],
    ['processors', { cpus: 3 }],
    ['disk', { diskBytes: 11e9 }],
  ])('is only what it has the %s for', (_, tooMuch) => {
    expect(idsFor({}, [work(1, tooMuch), work(2)])).toEqual([2])
  })

  test('fits the disk together with what the host holds', () => {
    const held = { count: 1, estimatedMs: 60_000, diskBytes: 8e9 }
    const large = [work(1), work(2), work(3)]
    expect(idsFor({ held, wanted: { cpuSeconds: 1e9, idleCpus: 0 } }, large)).toEqual([1, 2])
  })
})

describe('the daily quota', () => {
  test('falls by half with each failure and never to nothing', () => {
    let quota = firstQuota
    for (let failure = 0; failure < 10; failure += 1) quota = quotaAfter(quota, 'failure')
    expect(quota).toBe(1)
  })

  test('doubles with each success, up to a bound', () => {
    let quota = 1
    for (let success = 0; success < 30; success += 1) quota = quotaAfter(quota, 'success')
    expect(quota).toBe(65_536)
  })

  test('counts what was sent today, for each processor', () => {
    const day = 86_400_000
    const host = { quota: 4, quotaDay: 10, sentToday: 5 }
    expect(quotaLeft(host, 2, 10 * day + 1)).toBe(3)
    expect(quotaLeft(host, 2, 11 * day)).toBe(8)
    expect(quotaLeft({ ...host, sentToday: 50 }, 2, 10 * day)).toBe(0)
  })
})

describe('the next request', () => {
  const rush = { isWorkWaiting: true, idleMs: 0, activeHosts: 3 }

  test('comes soon while work waits', () => {
    expect(nextRequestSeconds(rush, 0)).toBe(5)
    expect(nextRequestSeconds(rush, 1)).toBe(6)
  })

  test('comes the later the longer there is none', () => {
    expect(nextRequestSeconds({ ...rush, isWorkWaiting: false }, 0)).toBe(15)
    expect(nextRequestSeconds({ ...rush, isWorkWaiting: false, idleMs: 1e6 }, 0)).toBe(100)
    expect(nextRequestSeconds({ ...rush, isWorkWaiting: false, idleMs: 1e9 }, 0)).toBe(300)
  })

  test('comes so late that a hundred thousand hosts can be answered', () => {
    expect(nextRequestSeconds({ ...rush, activeHosts: 100_000 }, 0)).toBe(500)
    expect(nextRequestSeconds({ ...rush, activeHosts: 1e7 }, 0)).toBe(600)
  })

  test('is put off longer each time that it comes too soon', () => {
    expect([0, 1, 2, 20].map((haste) => requestDelaySeconds(haste))).toEqual([2, 4, 8, 3600])
    expect(isHasty(10_000, 12_000)).toBe(true)
    expect(isHasty(11_500, 12_000)).toBe(false)
  })
})

describe('a host', () => {
  const request = { hostId: 7, sequenceNumber: 3, allowsMultipleClients: false }
  const known = { id: 7, account: 1, sequenceNumber: 3 }
  const none = (): undefined => undefined

  test('is the one that it says it is', () => {
    expect(identifyHost(request, 1, known, none)).toEqual({ kind: 'known', id: 7 })
    expect(identifyHost({ ...request, sequenceNumber: 9 }, 1, known, none)).toEqual({ kind: 'known', id: 7 })
  })

  test('is another one where its sequence number falls back: its state was copied', () => {
    expect(identifyHost({ ...request, sequenceNumber: 2 }, 1, known, () => 7)).toEqual({ kind: 'new' })
  })

  test("is a new one with the number of another's host, or of none", () => {
    expect(identifyHost(request, 2, known, none)).toEqual({ kind: 'new' })
    expect(identifyHost(request, 1, undefined, none)).toEqual({ kind: 'new' })
  })

  test('is found again by its hardware, but not where several clients run on one', () => {
    const first = { ...request, hostId: 0 }
    expect(identifyHost(first, 1, undefined, () => 7)).toEqual({ kind: 'attached-again', id: 7 })
    expect(identifyHost({ ...first, allowsMultipleClients: true }, 1, undefined, () => 7)).toEqual({
      kind: 'new',
    })
  })

  test('is similar to one with the same system and processor', () => {
    const hardware = { platform: 'p', cpuVendor: 'GenuineIntel', cpuModel: 'm', operatingSystem: 'Linux' }
    expect(isSimilar(hardware, { ...hardware })).toBe(true)
    expect(isSimilar(hardware, { ...hardware, cpuModel: 'other' })).toBe(false)
    expect(hostClassOf(hardware)).toBe('p genuineintel')
    expect(hostClassOf({ platform: 'p', cpuVendor: ' ' })).toBe('p ')
  })
})

describe('credit', () => {
  const day = 86_400_000

  test('is 200 for a day of a processor with a thousand million operations a second', () => {
    expect(creditOf(86_400, 1e9, 86_400)).toBeCloseTo(200, 9)
  })

  test('is not granted for more time than there was, nor for a processor that cannot be', () => {
    expect(creditOf(1e9, 1e9, 86_400)).toBeCloseTo(200, 9)
    expect(creditOf(86_400, 1e30, 86_400)).toBeCloseTo(200_000, 5)
    expect(creditOf(-5, 1e9, 10)).toBe(0)
  })

  test('comes near what a host earns a day', () => {
    let credit = { total: 0, average: 0, averageAt: 0 }
    for (let hour = 1; hour <= 24 * 70; hour += 1) credit = withCredit(credit, 10, hour * 3_600_000)
    expect(credit.total).toBe(16_800)
    expect(credit.average).toBeGreaterThan(235)
    expect(credit.average).toBeLessThan(241)
  })

  test('is forgotten by half in a week', () => {
    const credit = withCredit({ total: 5, average: 100, averageAt: day }, 0, 8 * day)
    expect(credit.average).toBeCloseTo(50, 6)
    expect(credit.total).toBe(5)
  })
})
