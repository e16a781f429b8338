/** What SExtractor has found, as its text says. */
export interface SourceCatalog {
  readonly columns: readonly Column[]
  /** A row a source: numbers by the names of the columns. */
  readonly sources: readonly Readonly<Record<string, number>>[]
}

export interface Column {
  readonly name: string
  readonly description: string
  readonly unit: string
}

/** What is measured of each source: names as SExtractor has them. */
export const columns: readonly string[] = [
  'NUMBER',
  'X_IMAGE',
  'Y_IMAGE',
  'ALPHA_J2000',
  'DELTA_J2000',
  'FLUX_AUTO',
  'FLUXERR_AUTO',
  'MAG_AUTO',
  'MAGERR_AUTO',
  'FLUX_MAX',
  'BACKGROUND',
  'A_IMAGE',
  'B_IMAGE',
  'THETA_IMAGE',
  'FWHM_IMAGE',
  'ISOAREA_IMAGE',
  'FLAGS',
]

/** Reads a catalog of the type ASCII_HEAD: lines that begin with # name the columns. */
export function readCatalog(text: string): SourceCatalog {
  const lines = text.split('\n')
  const columns = lines.flatMap((line) => {
    const [, name, rest = ''] = /^#\s+\d+\s+(\S+)(?:\s+(.*))?$/.exec(line) ?? []
    if (name === undefined) return []
    const unit = /\[([^\]]*)\]\s*$/.exec(rest)?.[1] ?? ''
    return [{ name, description: rest.replace(/\s*\[[^\]]*\]\s*$/, '').trim(), unit }]
  })
  const rows = lines.filter((line) => line.trim() !== '' && !line.startsWith('#'))
  return { columns, sources: rows.map((line) => readRow(line, columns)) }
}

function readRow(line: string, columns: readonly Column[]): Readonly<Record<string, number>> {
  const cells = line.trim().split(/\s+/)
  if (cells.length !== columns.length)
    throw new Error(`Expected ${columns.length} numbers in a line of the catalog, got ${cells.length}.`)
  return Object.fromEntries(columns.map(({ name }, index) => [name, Number(cells[index])]))
}
