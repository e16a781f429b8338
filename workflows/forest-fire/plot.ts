interface Burned {
  readonly densities: readonly number[]
  /** For each density, the burnt share of every forest. */
  readonly burned: readonly (readonly number[])[]
  readonly medians: readonly number[]
  /** Cells along an edge of a forest. */
  readonly size: number
}

/** Site percolation on the square lattice (Ziff and Sapoval 1986; Newman and Ziff 2000: 0.592746). */
const threshold = 0.592746

const width = 760
const height = 460
const margin = { left: 76, right: 28, top: 74, bottom: 58 }
const ink = '#1f2933'
const faint = '#8a94a0'
const fire = '#c2410c'
const forest = '#166534'

/** An SVG picture: a dot a forest, and a line through the medians. */
export function drawBurned({ densities, burned, medians, size }: Burned): string {
  const [lowest, highest] = [Math.min(...densities), Math.max(...densities)]
  const span = highest > lowest ? highest - lowest : 1
  const x = (density: number): number =>
    margin.left + ((density - lowest) / span) * (width - margin.left - margin.right)
  const y = (share: number): number => height - margin.bottom - share * (height - margin.top - margin.bottom)

  const dots = densities.flatMap((density, index) =>
    (burned[index] ?? []).map((share, forest) => {
      // Side by side within a column, so that equal ones can be told apart.
      const shift = ((forest % 11) - 5) * 1.2
      return `<circle cx="${(x(density) + shift).toFixed(1)}" cy="${y(share).toFixed(1)}" r="1.8"/>`
    }),
  )
  const line = densities.map((density, index) => point(x(density), y(medians[index] ?? 0))).join(' ')
  const rows = [0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => {
    const line = `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(share)}" y2="${y(share)}"/>`
    return { line, label: text(margin.left - 12, y(share) + 4, `${100 * share} %`, 'text-anchor="end"') }
  })
  const every = Math.max(1, Math.ceil(densities.length / 11))
  const columns = densities.map((density, index) =>
    index % every === 0
      ? text(x(density), height - margin.bottom + 22, density.toFixed(2), 'text-anchor="middle"')
      : '',
  )
  const subtitle = `${burned.flat().length} random forests of ${size} × ${size} cells, set on fire along one edge`
  const isThresholdShown = threshold >= lowest && threshold <= highest
  const mark = `<line x1="${x(threshold).toFixed(1)}" x2="${x(threshold).toFixed(1)}" y1="${margin.top}" y2="${y(0)}" stroke="${faint}" stroke-dasharray="4 4"/>
${text(x(threshold) - 8, margin.top + 14, 'threshold 0.5927', `text-anchor="end" fill="${faint}"`)}`

  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<rect width="100%" height="100%" fill="white"/>
<g font-family="Helvetica, Arial, sans-serif" font-size="13" fill="${ink}">
${text(margin.left, 30, 'How much of a forest burns', 'font-size="18" font-weight="bold"')}
${text(margin.left, 52, subtitle, `fill="${faint}"`)}
<g stroke="#e4e7eb">${rows.map(({ line }) => line).join('')}</g>
${rows.map(({ label }) => label).join('')}
${columns.join('')}
${text((margin.left + width - margin.right) / 2, height - 14, 'share of cells with a tree', 'text-anchor="middle"')}
${text(0, 0, 'burnt trees', `text-anchor="middle" transform="translate(20 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)"`)}
<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(0)}" y2="${y(0)}" stroke="${ink}"/>
${isThresholdShown ? mark : ''}
<g fill="${fire}" fill-opacity="0.25">${dots.join('')}</g>
<polyline points="${line}" fill="none" stroke="${forest}" stroke-width="2.5" stroke-linejoin="round"/>
<circle cx="${margin.left + 24}" cy="96" r="4" fill="${fire}" fill-opacity="0.6"/>${text(margin.left + 42, 100, 'a forest')}
<line x1="${margin.left + 15}" x2="${margin.left + 33}" y1="118" y2="118" stroke="${forest}" stroke-width="2.5"/>${text(margin.left + 42, 122, 'median')}
</g>
</svg>
`
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${content}</text>`
}

function point(x: number, y: number): string {
  return `${x.toFixed(1)},${y.toFixed(1)}`
}
