import { describe, expect, it } from 'vitest'
import { attemptOrder, isFinal, nextAttemptState, type AttemptEvent, type AttemptState } from './attempt.ts'

const follow = (...events: AttemptEvent[]): AttemptState =>
  events.reduce<AttemptState>((state, event) => nextAttemptState(state, event) ?? state, 'ready')
const submit: AttemptEvent = { kind: 'submit' }
const accepted: AttemptEvent = { kind: 'accepted' }
const running: AttemptEvent = { kind: 'observed', observation: { kind: 'running' } }
const exited: AttemptEvent = { kind: 'observed', observation: { kind: 'exited', exitCode: 0 } }
const lost: AttemptEvent = { kind: 'observed', observation: { kind: 'lost', message: '' } }

describe('an attempt', () => {
  it('goes from ready to completed', () => {
    expect(follow(submit, accepted, running, exited, { kind: 'collected', outcome: 'completed' })).toBe(
      'completed',
    )
  })

  it('may skip states but never goes back', () => {
    expect(follow(submit, accepted, exited)).toBe('collecting')
    expect(nextAttemptState('running', { kind: 'observed', observation: { kind: 'queued' } })).toBeUndefined()
    expect(nextAttemptState('completed', lost)).toBeUndefined()
  })

  it('waits again when the environment defers it', () => {
    expect(follow(submit, { kind: 'deferred' })).toBe('ready')
  })

  it('ignores a cancel once submitted, because a job may just have been accepted', () => {
    expect(nextAttemptState('ready', { kind: 'cancel' })).toBe('cancelled')
    expect(nextAttemptState('submitting', { kind: 'cancel' })).toBeUndefined()
  })

  it('does not lose results to a stale answer while they are fetched', () => {
    expect(nextAttemptState('collecting', lost)).toBeUndefined()
    expect(nextAttemptState('running', lost)).toBe('failed')
  })

  it('is never moved by anything once it is final', () => {
    const events = [submit, accepted, running, exited, lost, { kind: 'cancel' } as const]
    for (const state of Object.keys(attemptOrder) as AttemptState[])
      if (isFinal(state)) for (const event of events) expect(nextAttemptState(state, event)).toBeUndefined()
  })
})
