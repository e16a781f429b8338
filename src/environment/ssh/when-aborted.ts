/** Calls `act` when the signal aborts, or now if it has. Returns what stops listening. */
export function whenAborted(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act()
  else signal.addEventListener('abort', act, { once: true })
  return () => signal.removeEventListener('abort', act)
}

/** What comes of the work, unless the signal aborts first: then its reason is thrown, and the work is left alone. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Its failure is nobody's business once the signal has aborted.
  work.catch(() => undefined)
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const release = whenAborted(signal, () => aborted.reject(signal.reason as Error))
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    release()
  }
}
