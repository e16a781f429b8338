import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { hasBox, type Isolation } from './isolation.ts'

/** How a program in a box came to its end. */
export interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** How long the pipes of a box that has ended may stay open. */
const pipesGraceMs = 5000

/**
 * Resolves when a program has ended and all that it wrote was read. A box that is killed while it is being made may
 * leave a process behind that holds the pipes: they are let go of a while after the end, and nobody waits for them.
 * Rejects when the program could not be started. To be called in the turn in which it was started.
 */
export async function awaitEnd(child: ChildProcess, graceMs = pipesGraceMs): Promise<void> {
  const closed = once(child, 'close')
  let timer: NodeJS.Timeout | undefined
  child.once('exit', () => {
    timer = setTimeout(() => {
      for (const stream of child.stdio) stream?.destroy()
    }, graceMs)
  })
  try {
    await closed
  } finally {
    clearTimeout(timer)
  }
}

/**
 * How the program ended whose box ended so: bwrap tells the signal that ended its program as 128 and its number. A
 * program that exits with such a code by itself cannot be told from that.
 */
export function programEnd(
  isolation: Isolation,
  code: number | null,
  signal: NodeJS.Signals | null,
): ProgramEnd {
  if (!hasBox(isolation) || signal !== null || code === null || code <= 128) return { code, signal }
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
  return name === undefined ? { code, signal } : { code: null, signal: name as NodeJS.Signals }
}
