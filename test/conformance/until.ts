import { setTimeout as pause } from 'node:timers/promises'

/** Waits until `probe` gives something; says what it last saw when that takes too long. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  lastSeen: () => unknown = () => 'nothing',
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const found = await probe()
    if (found !== undefined) return found
    if (performance.now() > deadline)
      throw new Error(`waited ${timeoutMs} ms until ${what}; last seen: ${JSON.stringify(lastSeen())}`)
    await pause(5)
  }
}
