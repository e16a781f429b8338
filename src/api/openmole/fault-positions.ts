import type { EnvironmentFault, ExecutionState } from '../../engine/contract.ts'

/** How far each token has read the errors of each execution: "since the last query" is meant for each alone. */
export interface FaultPositions {
  /**
   * The errors of each environment that this token has not seen yet, in the order of the environments. A token that
   * asks for the first time sees all that are kept.
   */
  takeNew(tokenId: string, state: ExecutionState): readonly (readonly EnvironmentFault[])[]
}

/** Remembers the `limit` token and execution pairs that were used last; others begin anew. */
export function createFaultPositions(limit = 10_000): FaultPositions {
  // Sequence numbers count through all environments of an execution, so one position does for all of them.
  const positions = new Map<string, number>()
  return {
    takeNew(tokenId, { id, environments }) {
      const key = `${tokenId} ${id}`
      const position = positions.get(key) ?? Number.NEGATIVE_INFINITY
      const newFaults = environments.map(({ errors }) => errors.filter(({ sequence }) => sequence > position))
      const last = newFaults.flat().reduce((largest, { sequence }) => Math.max(largest, sequence), position)
      positions.delete(key)
      positions.set(key, last)
      const [oldest] = positions.keys()
      if (positions.size > limit && oldest !== undefined) positions.delete(oldest)
      return newFaults
    },
  }
}
