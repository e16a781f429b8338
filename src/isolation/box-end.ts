import { constants } from 'node:os'
import { hasBox, type Isolation } from './isolation.ts'

/** How a program in a box came to its end. */
export interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
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
