import { EnvironmentError } from '../environment.ts'

/** Watches a transfer, which may take long but must not stand still. */
export interface TransferWatch {
  /** Aborts when the caller gives up, or when nothing moved for too long. */
  readonly signal: AbortSignal
  /** Says that something moved. */
  moved(): void
  stop(): void
}

/** Longest timer of Node: whatever is watched needs no other limit. */
export const unlimitedMs = 2 ** 31 - 1

export function watchTransfer(what: string, idleMs: number, signal: AbortSignal): TransferWatch {
  const idle = new AbortController()
  const timer = setTimeout(
    () => idle.abort(new EnvironmentError(`${what}: nothing moved for ${Math.round(idleMs / 1000)} s.`)),
    idleMs,
  )
  return {
    signal: AbortSignal.any([signal, idle.signal]),
    moved: () => timer.refresh(),
    stop: () => clearTimeout(timer),
  }
}

/** The chunks of a source, each of them told to the watch. */
export async function* watched(source: AsyncIterable<Buffer>, watch: TransferWatch): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    watch.moved()
    yield chunk
  }
}
