import { mkdir, rename } from 'node:fs/promises'
import type { CollectedFiles } from '../environment/environment.ts'
import type { AttemptEnding } from '../job/attempt-source.ts'
import type { Job } from './job.ts'
import { logBytes, logPaths, readPrinted } from './job-logs.ts'
import type { JobEnd, Package } from './package.ts'
import type { RunResources } from './run-resources.ts'
import { messageOf } from '../problem.ts'

/** At most this much of what one job prints goes into the execution's output; its own logs keep all. */
const printedBytes = 64 * 1024

/** An attempt that has ended, and what it left. */
interface EndedAttempt {
  readonly jobs: readonly Job[]
  readonly package: Package
  readonly attemptNumber: number
}

/**
 * What each job of an attempt came to. What they printed goes into the execution's output and their logs are kept. A full
 * disk may keep us from that: then the jobs have failed for it.
 */
export async function readEnds(
  attempt: EndedAttempt,
  ending: AttemptEnding,
  resources: Pick<RunResources, 'paths' | 'display'>,
): Promise<readonly JobEnd[]> {
  try {
    const ends = await attempt.package.open(ending)
    for (const { job, collected } of ends)
      if (collected !== undefined)
        await keepPrinted(collected, `${job.id}.${attempt.attemptNumber}`, resources)
    return ends
  } catch (error) {
    const message = `What it left cannot be kept: ${messageOf(error)}`
    return attempt.jobs.map((job) => ({
      job,
      result: { kind: 'failure', message, stack: '' },
      exitCode: null,
      isEnvironmentsFault: true,
      isCancelled: ending.kind === 'stopped' && ending.cause === 'cancelled',
      collected: undefined,
    }))
  }
}

async function keepPrinted(
  collected: CollectedFiles,
  name: string,
  { paths, display }: Pick<RunResources, 'paths' | 'display'>,
): Promise<void> {
  const printed = await readPrinted(collected, printedBytes)
  if (printed !== '') await display(printed)
  const kept = logPaths(paths.logsDirectory, name)
  for (const stream of ['stdout', 'stderr'] as const) {
    if (logBytes(collected[stream]) === 0) continue
    await mkdir(paths.logsDirectory, { recursive: true })
    await rename(collected[stream], kept[stream])
  }
}
