import type { Observation } from '../environment/environment.ts'

/** One attempt at running a job. States only move down this list; a retry is a new attempt. */
export const attemptOrder = {
  ready: 0,
  submitting: 1,
  queued: 2,
  running: 3,
  collecting: 4,
  completed: 5,
  failed: 5,
  cancelled: 5,
} as const

export type AttemptState = keyof typeof attemptOrder

export type AttemptEvent =
  | { readonly kind: 'submit' }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'deferred' }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'observed'; readonly observation: Observation }
  | { readonly kind: 'collected'; readonly outcome: 'completed' | 'failed' | 'cancelled' }
  | { readonly kind: 'cancel' }

export function isFinal(state: AttemptState): boolean {
  return attemptOrder[state] === attemptOrder.completed
}

/** The state after `event`, or undefined when the event changes nothing: late, repeated or out of order. */
export function nextAttemptState(state: AttemptState, event: AttemptEvent): AttemptState | undefined {
  const to = target(state, event)
  if (to === undefined || isFinal(state)) return undefined
  // The one backward step: nothing has started yet, so the attempt may wait again.
  if (event.kind === 'deferred') return to
  return attemptOrder[to] > attemptOrder[state] ? to : undefined
}

function target(state: AttemptState, event: AttemptEvent): AttemptState | undefined {
  switch (event.kind) {
    case 'submit':
      return 'submitting'
    case 'accepted':
      return state === 'submitting' ? 'queued' : undefined
    case 'deferred':
      return state === 'submitting' ? 'ready' : undefined
    case 'rejected':
      return state === 'submitting' ? 'failed' : undefined
    case 'collected':
      return state === 'collecting' ? event.outcome : undefined
    // Later states only remember the wish: the environment must first confirm that the job stopped.
    case 'cancel':
      return state === 'ready' ? 'cancelled' : undefined
    // Without a handle there is nothing to observe.
    case 'observed':
      return attemptOrder[state] < attemptOrder.queued ? undefined : observedTarget(state, event.observation)
  }
}

function observedTarget(state: AttemptState, observation: Observation): AttemptState | undefined {
  switch (observation.kind) {
    case 'queued':
      return 'queued'
    case 'running':
      return 'running'
    // Both ends leave logs worth fetching.
    case 'exited':
    case 'stopped':
      return 'collecting'
    // Once outputs are being fetched, a stale "gone" must not throw them away.
    case 'lost':
      return state === 'collecting' ? undefined : 'failed'
    case 'unclear':
      return undefined
  }
}
