import { setTimeout as delay } from 'node:timers/promises'
import type { CollectedFiles, Environment, JobHandle } from '../environment/environment.ts'

/** How often results are asked for where they stay until somebody does. */
const mostTries = 30

/**
 * Collects what a job has left, again and again where results outlive the server: a connection that breaks now comes
 * back. Undefined when they cannot be had, or are not wanted any more.
 */
export async function bringResults(
  environment: Environment,
  handle: JobHandle,
  directory: string,
  options: {
    readonly signal: AbortSignal
    readonly isWanted: () => boolean
    readonly warn: (message: string) => void
  },
): Promise<CollectedFiles | undefined> {
  const { signal, isWanted, warn } = options
  const tries = environment.capabilities.survivesRestart ? mostTries : 1
  for (let failures = 0; !signal.aborted;) {
    try {
      return await environment.collect(handle, directory, signal)
    } catch (error) {
      failures += 1
      if (signal.aborted) return undefined
      warn(
        `Outputs of ${handle.id} cannot be fetched: ${error instanceof Error ? error.message : String(error)}`,
      )
      if (failures >= tries || !isWanted()) return undefined
      const waitMs = Math.min(60_000, 1000 * 2 ** failures)
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  return undefined
}
