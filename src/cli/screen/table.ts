/**
 * Columns of equal width, two spaces apart. Control characters in cells become `?`, so that names of files and
 * messages of jobs cannot drive the terminal.
 */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((row) => row.map((cell) => oneLine(cell)))
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** `text` without line ends and other control characters. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- Control characters are what is looked for.
  return text.replaceAll(/\s*\r?\n\s*/g, ' ').replaceAll(/[\u0000-\u001F\u007F-\u009F]/g, '?')
}

/** Milliseconds since 1970 as people write it in tables: `2026-03-01 09:30:05`, local time. */
export function formatTime(time: number | null | undefined): string {
  if (time === null || time === undefined) return ''
  const date = new Date(time)
  const two = (amount: number) => String(amount).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** A time span in at most two units: `40 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatSpan(spanMs: number): string {
  if (spanMs < 1000) return `${Math.round(spanMs)} ms`
  if (spanMs < 10_000) return `${(spanMs / 1000).toFixed(1)} s`
  const seconds = Math.round(spanMs / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
  const hours = Math.round(minutes / 60)
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}
