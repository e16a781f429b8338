import { simulate, stepsPerDay, type Rates } from './model.ts'

interface Fit {
  /** ISO dates, one a day. */
  readonly dates: readonly string[]
  readonly confined: readonly number[]
  readonly rates: Rates
}

const width = 760
const height = 460
const margin = { left: 64, right: 28, top: 74, bottom: 58 }
const highest = 300
const ink = '#1f2933'
const faint = '#8a94a0'
const record = '#c2410c'
const model = '#1d4ed8'

/** An SVG picture of the record and the model's course. */
export function drawFit({ dates, confined, rates }: Fit): string {
  const days = dates.length
  const x = (day: number): number => margin.left + (day / days) * (width - margin.left - margin.right)
  const y = (count: number): number =>
    height - margin.bottom - (count / highest) * (height - margin.top - margin.bottom)

  const course = simulate(rates, days)
    .map((infected, step) => point(x(step / stepsPerDay), y(infected)))
    .join(' ')
  const counts = confined.map((count, index) => {
    const title = `${dates[index]}: ${count} boys`
    return `<circle cx="${x(index + 1).toFixed(1)}" cy="${y(count).toFixed(1)}" r="5"><title>${title}</title></circle>`
  })
  const rows = [0, 50, 100, 150, 200, 250, 300].map((count) => {
    const line = `<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(count)}" y2="${y(count)}"/>`
    return { line, label: text(margin.left - 10, y(count) + 4, String(count), 'text-anchor="end"') }
  })
  const columns = dates.map((date, index) => {
    if (index % 2 !== 0) return ''
    return text(x(index + 1), height - margin.bottom + 22, shortDate(date), 'text-anchor="middle"')
  })
  const { beta, gamma } = rates
  const subtitle = `SIR model: β = ${beta.toFixed(2)}, γ = ${gamma.toFixed(2)} a day, R₀ = ${(beta / gamma).toFixed(2)}`
  const legend = margin.left + 452

  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<rect width="100%" height="100%" fill="white"/>
<g font-family="Helvetica, Arial, sans-serif" font-size="13" fill="${ink}">
${text(margin.left, 30, 'Influenza in an English boarding school, 1978', 'font-size="18" font-weight="bold"')}
${text(margin.left, 52, subtitle, `fill="${faint}"`)}
<g stroke="#e4e7eb">${rows.map(({ line }) => line).join('')}</g>
${rows.map(({ label }) => label).join('')}
${columns.join('')}
${text((margin.left + width - margin.right) / 2, height - 14, 'day', 'text-anchor="middle"')}
${text(0, 0, 'boys confined to bed', `text-anchor="middle" transform="translate(18 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)"`)}
<line x1="${margin.left}" x2="${width - margin.right}" y1="${y(0)}" y2="${y(0)}" stroke="${ink}"/>
<polyline points="${course}" fill="none" stroke="${model}" stroke-width="2.5" stroke-linejoin="round"/>
<g fill="${record}" stroke="white" stroke-width="1.5">${counts.join('')}</g>
<circle cx="${legend}" cy="92" r="5" fill="${record}"/>${text(legend + 18, 96, 'record')}
<line x1="${legend - 9}" x2="${legend + 9}" y1="114" y2="114" stroke="${model}" stroke-width="2.5"/>${text(legend + 18, 118, 'model')}
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

/** 22 Jan */
function shortDate(date: string): string {
  return new Date(date).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
}
