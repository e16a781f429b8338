import type { Executions } from '../engine/contract.ts'
import type { DiskReserve } from '../files/disk-reserve.ts'
import { toProblem } from '../problem.ts'
import { startClockWork, type ClockWork } from './clock-work.ts'
import { removeExpired, type RetentionLimits } from './retention.ts'

export interface HousekeepingParts {
  readonly executions: Pick<Executions, 'list' | 'remove'>
  readonly retention: RetentionLimits
  readonly disk: DiskReserve
  /** Deletes uploads that nobody owns; answers with how many there were. */
  readonly sweepUploads: () => Promise<number>
  readonly everyMs: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly report: {
    /** An execution was removed because it had been kept long enough. */
    readonly expired: (id: string) => void
    readonly info: (message: string) => void
    readonly warn: (message: string) => void
  }
}

/** What a server does by the clock: removes what was kept long enough, sweeps uploads, and watches the disk. */
export function startHousekeeping(parts: HousekeepingParts): Promise<ClockWork> {
  const { executions, retention, sweepUploads, everyMs, now, report } = parts
  const watchDisk = createDiskWatch(parts)
  return startClockWork(
    [
      {
        name: 'retention',
        everyMs,
        run: (signal) =>
          removeExpired(
            executions,
            retention,
            now(),
            {
              removed: report.expired,
              failed: (id, error) =>
                report.warn(
                  `The execution ${id} is old enough to go and cannot be removed: ${String(error)}`,
                ),
            },
            signal,
          ),
      },
      {
        name: 'uploads',
        everyMs,
        async run() {
          const swept = await sweepUploads()
          if (swept > 0) report.info(`Deleted ${swept} uploads that were left over.`)
        },
      },
      { name: 'disk', everyMs, run: watchDisk },
    ],
    report.warn,
  )
}

/** Tells once when the disk gets too full, and once when there is room again. */
function createDiskWatch({ disk, report }: HousekeepingParts): () => Promise<void> {
  let isFull = false
  return async () => {
    const refusal = await disk.check().then(
      () => undefined,
      (error: unknown) => toProblem(error).message,
    )
    if (refusal !== undefined && !isFull) report.warn(refusal)
    if (refusal === undefined && isFull) report.info('There is enough space on the disk again.')
    isFull = refusal !== undefined
  }
}
