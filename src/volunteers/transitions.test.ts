import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Replication } from '../environment/volunteers.ts'
import {
  copiesToJudge,
  copiesToSend,
  nextState,
  type Judgement,
  type Verdict,
  type WorkunitEvent,
  type WorkunitState,
} from './transitions.ts'

const once: Replication = { target: 1, quorum: 1, errorsAtMost: 3, copiesAtMost: 3, isHomogeneous: false }
const twice: Replication = { ...once, target: 2, quorum: 2, copiesAtMost: 4 }

const success: Verdict = { kind: 'success' }
const failed: Verdict = { kind: 'failed', cause: 'node-failure', message: 'broken' }
const returned: Verdict = { kind: 'returned', cause: 'preempted', message: 'given back' }
const tooLong: Verdict = { kind: 'limited', cause: 'timeout', message: 'too long' }

const sent = (number: number): WorkunitEvent => ({ kind: 'sent', number })
const report = (number: number, verdict: Verdict = success): WorkunitEvent => ({
  kind: 'reported',
  number,
  verdict,
  at: number + 10,
})
const judge = (...judged: readonly (readonly [number, string])[]): WorkunitEvent => ({
  kind: 'judged',
  at: 50,
  judgements: judged.map(([number, digest]) =>
    digest === 'broken' || digest === 'incomparable'
      ? { kind: digest, number, message: 'no archive' }
      : { kind: 'sound', number, digest },
  ),
})
const miss = (number: number, how: 'overdue' | 'detached' | 'lost' = 'overdue'): WorkunitEvent => ({
  kind: 'missed',
  number,
  how,
  at: number + 10,
})
const cancel: WorkunitEvent = { kind: 'cancelled' }

function after(replication: Replication, ...events: readonly WorkunitEvent[]): WorkunitState {
  const state: WorkunitState = { kind: 'active', replication, copies: [] }
  return events.reduce((state, event) => nextState(state, event), state)
}

describe('a workunit', () => {
  test.each([
    ['is sent once where one copy is enough', once, [], 'active', '', 1],
    ['waits for the copy that was sent', once, [sent(0)], 'active', 'sent', 0],
    ['waits until the archive was read', once, [sent(0), report(0)], 'active', 'reported', 0],
    ['ends with a sound archive', once, [sent(0), report(0), judge([0, 'a'])], 'accepted', 'accepted', 0],
    ['goes to another host after a failure', once, [sent(0), report(0, failed)], 'active', 'failed', 1],
    [
      'goes to another host when it was given back',
      once,
      [sent(0), report(0, returned)],
      'active',
      'returned',
      1,
    ],
    ['goes to another host after the deadline', once, [sent(0), miss(0)], 'active', 'overdue', 1],
    [
      'goes to another host when the archive is broken',
      once,
      [sent(0), report(0), judge([0, 'broken'])],
      'active',
      'failed',
      1,
    ],
    ['ends when it took too long', once, [sent(0), report(0, tooLong)], 'failed', 'limited', 0],
    [
      'counts a late success that came before another',
      once,
      [sent(0), miss(0), sent(1), report(0), judge([0, 'a'])],
      'accepted',
      'accepted sent',
      0,
    ],
    [
      'compares the other copy for its credit',
      once,
      [sent(0), miss(0), sent(1), report(0), judge([0, 'a']), report(1), judge([1, 'a'])],
      'accepted',
      'accepted agreeing',
      0,
    ],
    [
      'passes over a success that comes after the deadline and after another',
      once,
      [sent(0), miss(0), sent(1), report(1), judge([1, 'a']), report(0)],
      'accepted',
      'overdue accepted',
      0,
    ],
    ['is sent to two where two must agree', twice, [sent(0)], 'active', 'sent', 1],
    [
      'reads nothing before enough copies are there',
      twice,
      [sent(0), sent(1), report(0)],
      'active',
      'reported sent',
      0,
    ],
    [
      'ends when two agree',
      twice,
      [sent(0), sent(1), report(1), report(0), judge([0, 'a'], [1, 'a'])],
      'accepted',
      'accepted agreeing',
      0,
    ],
    [
      'asks a third where two do not agree',
      twice,
      [sent(0), sent(1), report(0), report(1), judge([0, 'a'], [1, 'b'])],
      'active',
      'reported reported',
      1,
    ],
    [
      'finds the liar by the third',
      twice,
      [
        sent(0),
        sent(1),
        report(0),
        report(1),
        judge([0, 'a'], [1, 'b']),
        sent(2),
        report(2),
        judge([2, 'b']),
      ],
      'accepted',
      'wrong accepted agreeing',
      0,
    ],
    [
      'asks a third where two cannot be compared',
      twice,
      [sent(0), sent(1), report(0), report(1), judge([0, 'a'], [1, 'incomparable'])],
      'active',
      'reported incomparable',
      1,
    ],
    [
      'ends after so many that cannot be compared',
      { ...twice, errorsAtMost: 1 },
      [sent(0), sent(1), report(0), report(1), judge([0, 'a'], [1, 'incomparable'])],
      'failed',
      'reported incomparable',
      0,
    ],
    [
      'fails where no two agree',
      { ...twice, copiesAtMost: 2 },
      [sent(0), sent(1), report(0), report(1), judge([0, 'a'], [1, 'b'])],
      'failed',
      'reported reported',
      0,
    ],
    [
      'is not failed by one that says it took too long',
      twice,
      [sent(0), sent(1), report(0, tooLong)],
      'active',
      'limited sent',
      1,
    ],
    [
      'goes on past missed copies only as often as it may',
      once,
      [sent(0), miss(0), sent(1), miss(1, 'detached'), sent(2), miss(2, 'lost')],
      'failed',
      'overdue detached lost',
      0,
    ],
    ['ends at once when it is cancelled', once, [sent(0), cancel], 'cancelled', 'sent', 0],
    ['takes no result after that', once, [sent(0), cancel, report(0)], 'cancelled', 'unneeded', 0],
    [
      'cannot be cancelled after its end',
      once,
      [sent(0), report(0), judge([0, 'a']), cancel],
      'accepted',
      'accepted',
      0,
    ],
  ] as const)('%s', (_, replication, events, kind, copies, toSend) => {
    const state = after(replication, ...events)
    expect(state.kind).toBe(kind)
    expect(state.copies.map((copy) => copy.state).join(' ')).toBe(copies)
    expect(copiesToSend(state)).toBe(toSend)
  })

  test.each([
    [
      'the host',
      [sent(0), report(0, failed), sent(1), report(1, failed), sent(2), report(2, failed)],
      'node-failure',
    ],
    ['the volunteer', [sent(0), miss(0), sent(1), miss(1), sent(2), report(2, returned)], 'preempted'],
    ['nobody knows', [sent(0), report(0, returned), sent(1), report(1, failed), sent(2), miss(2)], 'lost'],
    ['the limit', [sent(0), report(0, tooLong)], 'timeout'],
  ] as const)('tells why it failed: %s', (_, events, cause) => {
    expect(after(once, ...events)).toMatchObject({ kind: 'failed', cause })
  })

  test.each([
    ['a second report', [sent(0), report(0)], report(0)],
    ['a second, other report', [sent(0), report(0)], report(0, failed)],
    ['a report of a copy that was never sent', [sent(0)], report(1)],
    ['a failure after the deadline', [sent(0), miss(0)], report(0, failed)],
    [
      'a second judgement',
      [sent(0), sent(1), report(0), report(1), judge([0, 'a'], [1, 'b'])],
      judge([0, 'b']),
    ],
    ['a deadline of a copy that was reported', [sent(0), report(0)], miss(0)],
  ] as const)('is not changed by %s', (_, events, event) => {
    const state = after(twice, ...events)
    expect(nextState(state, event)).toBe(state)
  })
})

describe('whatever hosts do', () => {
  const replications = fc
    .record({
      target: fc.integer({ min: 1, max: 4 }),
      quorum: fc.integer({ min: 1, max: 3 }),
      errorsAtMost: fc.integer({ min: 0, max: 4 }),
      more: fc.integer({ min: 0, max: 4 }),
    })
    .map(({ target, quorum, errorsAtMost, more }): Replication => ({
      target,
      quorum,
      errorsAtMost,
      copiesAtMost: quorum + more,
      isHomogeneous: false,
    }))
  const number = fc.integer({ min: 0, max: 7 })
  /** What a copy's archive says when it is read: each host always sends the same. */
  const digests = fc.array(fc.constantFrom('a', 'a', 'a', 'b', 'c', 'broken', 'incomparable'), {
    minLength: 8,
    maxLength: 8,
  })
  type Step =
    | { readonly kind: 'send' | 'judge' | 'cancel' }
    | { readonly kind: 'report'; readonly number: number; readonly verdict: Verdict }
    | { readonly kind: 'miss'; readonly number: number; readonly how: 'overdue' | 'detached' | 'lost' }
  const steps: fc.Arbitrary<Step[]> = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant<Step>({ kind: 'send' }) },
      { weight: 3, arbitrary: fc.constant<Step>({ kind: 'judge' }) },
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('report' as const),
          number,
          verdict: fc.constantFrom(success, success, success, failed, returned, tooLong),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('miss' as const),
          number,
          how: fc.constantFrom('overdue' as const, 'detached' as const, 'lost' as const),
        }),
      },
      { weight: 1, arbitrary: fc.constant<Step>({ kind: 'cancel' }) },
    ),
    { maxLength: 40 },
  )

  function judgementsOf(state: WorkunitState, digests: readonly string[]): Judgement[] {
    return copiesToJudge(state).map((number) => {
      const digest = digests[number] ?? 'a'
      return digest === 'broken' || digest === 'incomparable'
        ? { kind: digest, number, message: 'no archive' }
        : { kind: 'sound', number, digest }
    })
  }

  function take(state: WorkunitState, step: Step, digests: readonly string[]): WorkunitState {
    switch (step.kind) {
      case 'send':
        return copiesToSend(state) > 0 ? nextState(state, sent(state.copies.length)) : state
      case 'judge':
        return nextState(state, { kind: 'judged', judgements: judgementsOf(state, digests), at: 1 })
      case 'cancel':
        return nextState(state, cancel)
      case 'report':
        return nextState(state, report(step.number, step.verdict))
      case 'miss':
        return nextState(state, miss(step.number, step.how))
    }
  }

  function check(before: WorkunitState, state: WorkunitState): void {
    const { copies, replication, kind } = state
    const counts = (wanted: string): number => copies.filter((copy) => copy.state === wanted).length
    expect(counts('accepted')).toBe(kind === 'accepted' ? 1 : 0)
    expect(copies.length).toBeLessThanOrEqual(replication.copiesAtMost)
    if (before.kind !== 'active') expect(kind).toBe(before.kind)
    for (const copy of before.copies.filter((copy) => copy.state === 'accepted'))
      expect(copies[copy.number]).toEqual(copy)
    if (kind === 'accepted') {
      const accepted = copies.find((copy) => copy.state === 'accepted')
      const agreeing = copies.filter((copy) => copy.state === 'accepted' || copy.state === 'agreeing')
      expect(agreeing.length).toBeGreaterThanOrEqual(replication.quorum)
      for (const copy of agreeing) expect(copy.digest).toBe(accepted?.digest)
    }
    if (kind !== 'active') expect(copiesToSend(state)).toBe(0)
    // It never waits for nothing.
    else expect(copiesToSend(state) + copiesToJudge(state).length + counts('sent')).toBeGreaterThan(0)
  }

  test('exactly one result counts, and enough hosts agree on it', () => {
    fc.assert(
      fc.property(replications, digests, steps, (replication, digests, steps) => {
        let state: WorkunitState = { kind: 'active', replication, copies: [] }
        for (const step of steps) {
          const next = take(state, step, digests)
          check(state, next)
          state = next
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('every workunit ends, once', () => {
    fc.assert(
      fc.property(replications, digests, steps, (replication, digests, steps) => {
        let state = steps.reduce<WorkunitState>((state, step) => take(state, step, digests), {
          kind: 'active',
          replication,
          copies: [],
        })
        // All that are sent now come back, or never do.
        for (let turn = 0; state.kind === 'active' && turn < 50; turn += 1) {
          state = take(state, { kind: 'send' }, digests)
          const open = state.copies.find((copy) => copy.state === 'sent')
          if (open !== undefined)
            state = nextState(state, turn % 3 === 0 ? miss(open.number) : report(open.number))
          state = take(state, { kind: 'judge' }, digests)
        }
        expect(state.kind).not.toBe('active')
      }),
      { numRuns: 1000 },
    )
  })
})
