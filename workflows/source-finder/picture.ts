import type { SourceCatalog } from './catalog.ts'
import type { FitsImage } from './fits.ts'
import { encodePng } from './png.ts'

/** How brightness becomes grey. */
export const stretches = ['asinh', 'linear', 'logarithm'] as const
export type Stretch = (typeof stretches)[number]

/** Pixels along the longer side of a preview, at most. */
const longestSide = 1024
const outline = [255, 96, 32] as const
/** What SExtractor calls A and B are deviations; an ellipse of three of them holds most of a source. */
const deviations = 3

/** A PNG of an image with an ellipse around every source. Large images are made smaller. */
export async function drawPreview(
  image: FitsImage,
  catalog: SourceCatalog,
  stretch: Stretch,
): Promise<Buffer> {
  const shrink = Math.max(1, Math.ceil(Math.max(image.width, image.height) / longestSide))
  const small = await shrinkImage(image, shrink)
  const { width, height } = small
  const pixels = paintGrey(small, stretch)
  const mark = (x: number, y: number): void => {
    // FITS counts from 1 at the bottom left, a PNG from 0 at the top left.
    const column = Math.round((x - 0.5) / shrink - 0.5)
    const row = height - 1 - Math.round((y - 0.5) / shrink - 0.5)
    if (column >= 0 && column < width && row >= 0 && row < height)
      pixels.set(outline, 3 * (row * width + column))
  }
  for (const source of catalog.sources) outlineSource(source, shrink, mark)
  return encodePng(width, height, pixels)
}

interface SmallImage {
  readonly width: number
  readonly height: number
  readonly values: Float64Array
}

/** Means over squares of so many pixels, without those that have no value. */
async function shrinkImage(image: FitsImage, shrink: number): Promise<SmallImage> {
  const [width, height] = [Math.ceil(image.width / shrink), Math.ceil(image.height / shrink)]
  const sums = new Float64Array(width * height)
  const counts = new Uint32Array(width * height)
  let y = 0
  for await (const row of image.rows()) {
    const start = Math.floor(y / shrink) * width
    for (const [x, value] of row.entries()) {
      if (!Number.isFinite(value)) continue
      const at = start + Math.floor(x / shrink)
      sums[at] = (sums[at] ?? 0) + value
      counts[at] = (counts[at] ?? 0) + 1
    }
    y += 1
  }
  return { width, height, values: sums.map((sum, at) => sum / (counts[at] ?? 0)) }
}

function paintGrey({ width, height, values }: SmallImage, stretch: Stretch): Uint8Array {
  const sorted = values.filter((value) => Number.isFinite(value)).sort()
  const quantile = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0
  const [dark, bright] = [quantile(0.01), quantile(0.998)]
  const span = bright > dark ? bright - dark : 1
  const pixels = new Uint8Array(3 * width * height)
  for (let row = 0; row < height; row += 1)
    for (let column = 0; column < width; column += 1) {
      const value = values[(height - 1 - row) * width + column] ?? Number.NaN
      const share = Number.isFinite(value) ? Math.min(1, Math.max(0, (value - dark) / span)) : 0
      const at = 3 * (row * width + column)
      pixels.fill(Math.round(255 * stretched(share, stretch)), at, at + 3)
    }
  return pixels
}

function stretched(share: number, stretch: Stretch): number {
  switch (stretch) {
    case 'asinh':
      return Math.asinh(10 * share) / Math.asinh(10)
    case 'logarithm':
      return Math.log1p(1000 * share) / Math.log1p(1000)
    case 'linear':
      return share
  }
}

function outlineSource(
  source: Readonly<Record<string, number>>,
  shrink: number,
  mark: (x: number, y: number) => void,
): void {
  const { X_IMAGE: x = 0, Y_IMAGE: y = 0, A_IMAGE: a = 0, B_IMAGE: b = 0, THETA_IMAGE: theta = 0 } = source
  const angle = (theta * Math.PI) / 180
  const [major, minor] = [a, b].map((each) => Math.max(deviations * each, 4 * shrink)) as [number, number]
  const steps = Math.min(2000, Math.max(16, Math.ceil((8 * major) / shrink)))
  for (let step = 0; step < steps; step += 1) {
    const turn = (2 * Math.PI * step) / steps
    const [along, across] = [major * Math.cos(turn), minor * Math.sin(turn)]
    mark(
      x + along * Math.cos(angle) - across * Math.sin(angle),
      y + along * Math.sin(angle) + across * Math.cos(angle),
    )
  }
}
