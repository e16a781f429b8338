import { describe, expect, it } from 'vitest'
import { isGood, showReport, type Report } from '../torture/figures.ts'
import { torture as kills } from '../torture/kills.ts'
import { torture as torn } from '../torture/torn.ts'

/** The short form of `npm run torture`, which kills and starves a real server. */
describe('a tortured server', () => {
  it('keeps what it promised over two kills at random moments', { timeout: 300_000 }, async () => {
    expectGood(await kills({ kills: 2, seed: 3 }))
  })

  it('goes on where a transaction was cut, and names what was changed', { timeout: 300_000 }, async () => {
    expectGood(await torn({ points: 1, cuts: 300, flips: 60, seed: 1 }))
  })
})

function expectGood(report: Report): void {
  expect(isGood(report), showReport(report)).toBe(true)
}
