/** What a server may open, as the system limits it. */
export interface ConnectionCap {
  readonly maxConnections: number
  /** How many more are taken only to be told to come again. */
  readonly refusedConnections: number
  /** Why it is less than was asked for; undefined when it is not. */
  readonly remark: string | undefined
}

/** Of what it may open, connections have at most so much. */
const shareOfConnections = 0.6

/** More than these never wait for their refusal at the same time: each takes a moment only. */
const mostRefused = 1000

/**
 * How many connections a server takes. Two fifths of what it may open are kept for files, journals and processes:
 * idle clients must not keep it from writing what it has promised.
 *
 * @param wished the option `max-connections`
 * @param openFiles how many descriptors this process may have; undefined where nothing limits them
 */
export function capConnections(wished: number, openFiles: number | undefined): ConnectionCap {
  const most = openFiles === undefined ? Infinity : Math.max(1, Math.floor(openFiles * shareOfConnections))
  const maxConnections = Math.min(wished, most)
  const refusedConnections = Math.min(mostRefused, maxConnections, most - maxConnections)
  if (maxConnections === wished) return { maxConnections, refusedConnections, remark: undefined }
  return {
    maxConnections,
    refusedConnections,
    remark:
      `Takes at most ${most} connections instead of ${wished}: only ${openFiles} files may be open (ulimit -n), ` +
      'and two fifths of them are kept for files and processes.',
  }
}
