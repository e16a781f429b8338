import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import type { CollectedFiles } from '../../src/environment/environment.ts'
import { ensureLogs, freshLogs } from '../../src/environment/job-files/logs.ts'
import { ApiError } from './api-errors.ts'
import type { Cluster } from './cluster.ts'
import { readPodLog } from './pod-log.ts'
import { mainContainer } from './template.ts'

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
    const file = createWriteStream(logs.stdout, { mode: 0o600 })
    const written = finished(file)
    written.catch(() => undefined)
    try {
      await readPodLog(cluster, { pod, container: mainContainer }, file, signal)
      file.end()
      await written
    } catch (error) {
      file.destroy()
      if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 400)) throw error
    }
  }
  ensureLogs(logs)
  return logs
}
