import type { WorkunitProgress } from '../environment/volunteers.ts'
import type { StoredWorkunit } from './work-table.ts'

/**
 * How far a workunit is. It never goes back: between a copy that was lost and the next it stays running.
 *
 * @param nameOf of a host
 * @param pathOf where the file of an output name lies
 */
export function progressOf(
  { state, copies, wasRunning }: StoredWorkunit,
  nameOf: (host: number) => string,
  pathOf: (outputName: string) => string,
): WorkunitProgress {
  switch (state.kind) {
    case 'cancelled':
      return { kind: 'cancelled' }
    case 'failed':
      return { kind: 'failed', cause: state.cause ?? 'unknown', message: state.message ?? '' }
    case 'accepted': {
      const accepted = copies.find((copy) => copy.state === 'accepted')
      if (accepted === undefined) return { kind: 'running' }
      return { kind: 'done', archive: pathOf(accepted.outputName), host: nameOf(accepted.host) }
    }
    case 'active': {
      const sent = copies.filter((copy) => copy.state === 'sent')
      const running = sent.find((copy) => copy.isRunning)
      if (running !== undefined) return { kind: 'running', host: nameOf(running.host) }
      if (wasRunning || copies.some((copy) => copy.state === 'reported')) return { kind: 'running' }
      const [first] = sent
      if (first !== undefined) return { kind: 'queued', reason: `sent to ${nameOf(first.host)}` }
      const last = copies.at(-1)
      return last === undefined
        ? { kind: 'queued' }
        : { kind: 'queued', reason: `waits for another host: ${last.message ?? last.state}` }
    }
  }
}
