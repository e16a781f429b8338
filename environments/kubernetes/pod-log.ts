import type { Readable, Writable } from 'node:stream'
import { ApiError } from './api-errors.ts'
import { backOffMs, type Clock } from './clock.ts'
import type { Cluster } from './cluster.ts'
import { orAborted } from './limited.ts'
import { LogLines } from './log-lines.ts'

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
const readSilenceMs = 60_000
/** A container may be silent for long; but a dead connection must be noticed some day. */
const followSilenceMs = 300_000

/**
 * Writes the log that is there to `output`, which stays open; gives its length in bytes. Throws ApiError: 404 where the
 * pod is gone, 400 where the container has not started, status 0 where the log was cut in the middle.
 */
export async function readPodLog(
  cluster: Cluster,
  choice: LogChoice,
  output: Writable,
  signal: AbortSignal,
): Promise<number> {
  return listened(output, async () => {
    const body = await openLog(cluster, choice, {}, readSilenceMs, signal)
    return pour(body, output, (chunk) => chunk, cluster, signal)
  })
}

export interface FollowOptions {
  readonly clock: Clock
  /** Asked when the log ends: whether the container has ended too, so that nothing more can come. */
  readonly isOver: (signal: AbortSignal) => Promise<boolean>
  /** Told of each failure; it goes on after a while. */
  readonly failed?: (error: unknown) => void
}

/**
 * Writes a log to `output` as it grows, from its beginning on, until the container is over; `output` stays open. What
 * the kubelet has rotated away meanwhile is missing. Connections that are cut are made again, and no line comes twice.
 * Throws ApiError where the pod is gone (404), what `isOver` and `output` throw, and the signal's reason.
 */
export async function followPodLog(
  cluster: Cluster,
  { pod, container }: Pick<LogChoice, 'pod' | 'container'>,
  output: Writable,
  { clock, isOver, failed }: FollowOptions,
  signal: AbortSignal,
): Promise<void> {
  return listened(output, follow)

  async function follow(): Promise<void> {
    const lines = new LogLines()
    let failures = 0
    for (;;) {
      // Asked before the log is: what it says then is all there is.
      const wasOver = await isOver(signal)
      requireGood(output)
      try {
        lines.again()
        const choice = { pod, container, sinceTime: lines.sinceTime }
        const query = { follow: !wasOver, timestamps: true }
        const body = await openLog(cluster, choice, query, followSilenceMs, signal)
        const bytes = await pour(body, output, (chunk) => lines.take(chunk), cluster, signal)
        if (wasOver) return void output.write(lines.end())
        failures = bytes > 0 ? 0 : failures + 1
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ApiError) || error.status === 404) throw error
        failed?.(error)
        failures += 1
      }
      // The log of a container that still runs has ended, has not begun, or cannot be had.
      if (failures > 0) await clock.wait(backOffMs(failures), signal)
    }
  }
}

async function openLog(
  cluster: Cluster,
  { pod, ...choice }: LogChoice,
  more: Readonly<Record<string, boolean>>,
  silenceMs: number,
  signal: AbortSignal,
): Promise<Readable> {
  const namespace = encodeURIComponent(await cluster.namespace(signal))
  const path = `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}/log`
  return cluster.connection.open({ method: 'GET', path, query: { ...choice, ...more } }, silenceMs, signal)
}

/**
 * Writes what comes of the body, no faster than it is taken. Gives how many bytes were written. A body that fails leaves
 * the output as it is, so that another one can follow. (Node's pipeline leaves listeners at an output that stays open.)
 */
async function pour(
  body: Readable,
  output: Writable,
  change: (chunk: Buffer) => Buffer,
  { connection }: Cluster,
  signal: AbortSignal,
): Promise<number> {
  let bytes = 0
  const chunks = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await chunks.next().catch((error: unknown) => {
        throw connection.explain(error, signal)
      })
      signal.throwIfAborted()
      if (next.done === true) return bytes
      const text = change(next.value)
      bytes += text.length
      if (text.length > 0 && !output.write(text)) await drained(output, signal)
      requireGood(output)
    }
  } finally {
    body.destroy()
  }
}

async function drained(output: Writable, signal: AbortSignal): Promise<void> {
  if (!output.writableNeedDrain || output.destroyed) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const events = ['drain', 'close', 'error'] as const
  for (const event of events) output.on(event, resolve)
  try {
    await orAborted(promise, signal)
  } finally {
    for (const event of events) output.off(event, resolve)
  }
}

function requireGood(output: Writable): void {
  if (output.errored !== null) throw output.errored
  if (output.destroyed) throw new Error('the output of a log was closed before the log ended')
}

/** An output that fails is told by the write after. The listener stays where it has failed: its event may come later. */
async function listened<T>(output: Writable, use: () => Promise<T>): Promise<T> {
  output.on('error', ignore)
  const result = await use()
  output.off('error', ignore)
  return result
}

function ignore(): void {}
