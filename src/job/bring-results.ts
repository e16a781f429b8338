import { setTimeout as delay } from 'node:timers/promises'
import type { CollectedFiles, Environment, JobHandle } from '../environment/environment.ts'
import { messageOf } from '../problem.ts'

/** How often results are asked for that an environment does not give although it answers otherwise. */
const mostTries = 30
const defaultWaits = { firstMs: 2000, longestMs: 60_000 }

/**
 * Collects what a job has left, again and again where results outlive the server: a connection that breaks now comes
 * back, and until then the results stay where they are. Undefined when they cannot be had, or are not wanted any more.
 */
export async function bringResults(
  environment: Environment,
  handle: JobHandle,
  directory: string,
  options: {
    readonly signal: AbortSignal
    readonly isWanted: () => boolean
    /** Whether the environment can be asked at all. */
    readonly isAnswering: () => Promise<boolean>
    /** Gets each reason once. */
    readonly warn: (message: string) => void
    readonly waits?: { readonly firstMs: number; readonly longestMs: number }
  },
): Promise<CollectedFiles | undefined> {
  const { signal, isWanted, isAnswering, warn, waits = defaultWaits } = options
  const { survivesRestart, lostAfterOutageMs = Infinity } = environment.capabilities
  const tries = survivesRestart ? mostTries : 1
  let waitMs = waits.firstMs
  let awaySince: number | undefined
  let told: string | undefined
  for (let failures = 0; !signal.aborted;) {
    try {
      return await environment.collect(handle, directory, signal)
    } catch (error) {
      if (signal.aborted) return undefined
      const reason = messageOf(error)
      if (reason !== told) warn(`Outputs of ${handle.id} cannot be fetched: ${reason}`)
      told = reason
      if (survivesRestart && !(await isAnswering())) awaySince ??= performance.now()
      else {
        awaySince = undefined
        failures += 1
      }
      const isLost = awaySince !== undefined && performance.now() - awaySince >= lostAfterOutageMs
      if (failures >= tries || isLost || !isWanted()) return undefined
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
      waitMs = Math.min(waits.longestMs, 2 * waitMs)
    }
  }
  return undefined
}
