/** A signal that aborts with another one, or when time is over. `done` must be called at the end. */
export interface Limited {
  readonly signal: AbortSignal
  /** Whether time was over first. */
  isOver(): boolean
  /** Starts the time anew. */
  again(): void
  done(): void
}

/** A bound for one call: unlike `AbortSignal.any` it leaves nothing at a signal that lives long. */
export function limited(signal: AbortSignal, limitMs: number): Limited {
  const controller = new AbortController()
  let over = false
  const abort = (): void => controller.abort(signal.reason)
  const timer = setTimeout(() => {
    over = true
    controller.abort(new Error(`nothing within ${limitMs} ms`))
  }, limitMs)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    isOver: () => over && !signal.aborted,
    again: () => void timer.refresh(),
    done: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    },
  }
}

/** The promise, or the signal's reason if that comes first. What the promise does later is nobody's concern. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
