import { createWriteStream } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { CollectedFiles } from '../../../src/environment/environment.ts'
import { endOf, ensureLogs, freshLogs } from '../../../src/environment/job-files/logs.ts'
import { ApiError } from '../cluster/api-errors.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { readPodLog } from '../cluster/pod-log.ts'
import { mainContainer } from '../pods/template.ts'

/** Of the end of a log as Kubernetes gives it: lines, and bytes of these from their beginning. */
const [endLines, endBytes] = [1000, 2 ** 20]

/**
 * The log of a pod that keeps no files any more, as `stdout` in the directory: both streams, as Kubernetes has them.
 * Empty where the pod is gone or its job never began.
 */
export async function fetchLogs(
  cluster: Cluster,
  pod: string | undefined,
  directory: string,
  signal: AbortSignal,
): Promise<Pick<CollectedFiles, 'stdout' | 'stderr'>> {
  const logs = freshLogs(directory)
  if (pod !== undefined) {
    const log = readPodLog(cluster, { pod, container: mainContainer }, signal)
    await unlessWithoutLog(pipeline(log, createWriteStream(logs.stdout, { mode: 0o600 })))
  }
  ensureLogs(logs)
  return logs
}

/** The end of what a pod has printed so far, both streams as one; empty where there is no log (yet). */
export async function readLogEnd(
  cluster: Cluster,
  pod: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const choice = { pod, container: mainContainer, tailLines: endLines, limitBytes: endBytes }
  const bytes = (await unlessWithoutLog(buffer(readPodLog(cluster, choice, signal)))) ?? Buffer.alloc(0)
  return endOf(bytes.subarray(-limitBytes), bytes.length > limitBytes)
}

/** Undefined where the pod is gone, or its container has not begun. */
async function unlessWithoutLog<Result>(reading: Promise<Result>): Promise<Result | undefined> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 400)) return undefined
    throw error
  }
}
