import type { Readable } from 'node:stream'
import type { Cluster } from './cluster.ts'

export interface LogChoice {
  readonly pod: string
  readonly container: string
  /** Of the beginning of what is chosen. */
  readonly limitBytes?: number | undefined
  /** RFC 3339, whole seconds. */
  readonly sinceTime?: string | undefined
  readonly tailLines?: number | undefined
}

/** The server may take its time to find the beginning. */
const silenceMs = 60_000

/**
 * The log that is there, no faster than it is taken. Throws ApiError: 404 where the pod is gone, 400 where the container
 * has not started, status 0 where the log was cut in the middle.
 */
export async function* readPodLog(
  cluster: Cluster,
  choice: LogChoice,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const body = await openLog(cluster, choice, signal)
  try {
    yield* body as AsyncIterable<Buffer>
  } catch (error) {
    throw cluster.connection.explain(error, signal)
  } finally {
    body.destroy()
  }
  signal.throwIfAborted()
}

async function openLog(
  cluster: Cluster,
  { pod, ...query }: LogChoice,
  signal: AbortSignal,
): Promise<Readable> {
  const namespace = encodeURIComponent(await cluster.namespace(signal))
  const path = `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}/log`
  return cluster.connection.open({ method: 'GET', path, query }, silenceMs, signal)
}
