import type { JobHandle, JobId } from '../environment/environment.ts'
import { nextAttemptState, type AttemptEvent, type AttemptState } from './attempt.ts'
import type { Attempt } from './attempt-source.ts'

/** An attempt that a tracker follows. */
export interface Tracked {
  readonly attempt: Attempt
  state: AttemptState
  handle: JobHandle | undefined
  isCancelWanted: boolean
  /** Whether the environment has been told of the wish. */
  isCancelDelivered: boolean
  lostSince: number | undefined
  /** Why the environment has not started it yet, in its own words. */
  waitsFor: string | undefined
  /** What could not be read of it when it was last observed: told once. */
  unclear: string | undefined
}

/** The attempts that have been taken for an environment and have not ended. */
export class TrackedAttempts {
  readonly #tracked = new Map<JobId, Tracked>()

  get size(): number {
    return this.#tracked.size
  }

  get ids(): JobId[] {
    return [...this.#tracked.keys()]
  }

  /** One by one as they are then: those that go meanwhile do not come. */
  get all(): Iterable<Tracked> {
    return this.#tracked.values()
  }

  get(id: JobId): Tracked | undefined {
    return this.#tracked.get(id)
  }

  /** False for one that was abandoned meanwhile. */
  has({ attempt }: Tracked): boolean {
    return this.#tracked.has(attempt.request.id)
  }

  add(attempt: Attempt, state: AttemptState, handle?: JobHandle): Tracked {
    const tracked: Tracked = {
      attempt,
      state,
      handle,
      isCancelWanted: false,
      isCancelDelivered: false,
      lostSince: undefined,
      waitsFor: undefined,
      unclear: undefined,
    }
    this.#tracked.set(attempt.request.id, tracked)
    return tracked
  }

  remove(id: JobId): void {
    this.#tracked.delete(id)
  }
}

/** Moves an attempt on and tells it so; false where the event changes nothing. */
export function moveAttempt(tracked: Tracked, event: AttemptEvent): boolean {
  const state = nextAttemptState(tracked.state, event)
  if (state === undefined) return false
  tracked.state = state
  tracked.attempt.moved(state, tracked.handle)
  return true
}
