const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
}

const durationUnits: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/**
 * Reads a size: `512M`, `2GiB`, `1.5 GB`, `1048576`. One letter alone counts by 1024, as with `--mem 2G` elsewhere;
 * KB, MB, GB and TB count by 1000. Undefined when `text` is no size.
 */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, byteUnits)
}

/** Reads a time span in milliseconds: `30s`, `24h`, `1.5h`, `250`. Undefined when `text` is no time span. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, durationUnits)
}

/** The shortest spelling that `parseBytes` reads back to the same number. */
export function formatBytes(bytes: number): string {
  return formatQuantity(bytes, [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
    ['B', 1],
  ])
}

/** The shortest spelling that `parseDuration` reads back to the same number. */
export function formatDuration(durationMs: number): string {
  return formatQuantity(durationMs, [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ])
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^\s*(\d{1,16}(?:\.\d{1,6})?)\s*([a-z]{0,3})\s*$/i.exec(text)
  const unitName = match?.[2]?.toLowerCase() ?? ''
  if (match === null || !Object.hasOwn(units, unitName)) return undefined
  const amount = Number(match[1]) * (units[unitName] ?? Number.NaN)
  return Number.isSafeInteger(Math.round(amount)) ? Math.round(amount) : undefined
}

function formatQuantity(amount: number, units: readonly (readonly [string, number])[]): string {
  const [name, size] = units.find(([, size]) => amount >= size && amount % size === 0) ?? ['', 1]
  return `${amount / size}${name}`
}
