import { setTimeout as delay } from 'node:timers/promises'

/** Waits for a condition. Throws with what was waited for when it does not come true in time. */
export async function untilTrue(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  { forMs, everyMs = 50 }: { readonly forMs: number; readonly everyMs?: number },
): Promise<void> {
  const latest = performance.now() + forMs
  while (!(await isTrue())) {
    if (performance.now() > latest) throw new Error(`Waited ${forMs} ms in vain until ${what}.`)
    await delay(everyMs)
  }
}
