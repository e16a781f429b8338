import type { Executions, ExecutionSummary } from '../engine/contract.ts'

/** How long finished executions are kept. What is 0 does not limit. */
export interface RetentionLimits {
  /** Time from the end of an execution to its removal. */
  readonly retentionMs: number
  /** How many that have ended are kept; of more, those that ended first go. */
  readonly maxFinished: number
}

/** Ids of the executions that have been kept long enough, those that ended first ahead. */
export function findExpired(
  executions: readonly ExecutionSummary[],
  { retentionMs, maxFinished }: RetentionLimits,
  nowMs: number,
): readonly string[] {
  const ended = executions
    .flatMap(({ id, state, endedAt }) => (state === 'running' || endedAt === null ? [] : [{ id, endedAt }]))
    .sort((a, b) => a.endedAt - b.endedAt)
  const tooMany = maxFinished === 0 ? 0 : Math.max(0, ended.length - maxFinished)
  return ended
    .filter(({ endedAt }, index) => index < tooMany || (retentionMs > 0 && nowMs - endedAt >= retentionMs))
    .map(({ id }) => id)
}

/** Removes the executions that have been kept long enough, one after the other. */
export async function removeExpired(
  executions: Pick<Executions, 'list' | 'remove'>,
  limits: RetentionLimits,
  nowMs: number,
  report: { readonly removed: (id: string) => void; readonly failed: (id: string, error: unknown) => void },
  signal: AbortSignal,
): Promise<void> {
  for (const id of findExpired(executions.list(), limits, nowMs)) {
    if (signal.aborted) return
    try {
      await executions.remove(id)
      report.removed(id)
    } catch (error) {
      // The others can go all the same, and this one is tried again.
      report.failed(id, error)
    }
  }
}
