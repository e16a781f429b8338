import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const picture = '/var/cache/molehill/m51/pix.pix'

/** Why sources cannot be searched for here; undefined when they can. */
export function whyNoSourceFinder(): string | undefined {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  const isThere = directories.some((each) => existsSync(join(each, 'source-extractor')))
  return isThere && existsSync(picture)
    ? undefined
    : 'no source-extractor or no picture of M51 here: run scripts/install-services'
}

/** A FITS file of one image. Rows come from the bottom up. */
export function makeFits(
  width: number,
  height: number,
  bits: 8 | 16 | 32 | -32 | -64,
  pixels: Buffer,
  cards: Readonly<Record<string, string>> = {},
): Buffer {
  const head = { SIMPLE: 'T', BITPIX: bits, NAXIS: 2, NAXIS1: width, NAXIS2: height, ...cards }
  const lines = Object.entries(head).map(
    ([name, value]) => `${name.padEnd(8)}= ${String(value).padStart(20)}`,
  )
  const header = [...lines, 'END'].map((line) => line.padEnd(80)).join('')
  return Buffer.concat([pad(Buffer.from(header), ' '), pad(pixels, '\0')])
}

/** The picture of M51 that comes with IRAF, 512 x 512: behind a header of 2048 bytes come 16 bits a pixel. */
export function fitsOfM51(): Buffer {
  return makeFits(512, 512, 16, readFileSync(picture).subarray(2048))
}

/** Where a source of a made image is, counted from 1 as FITS does, and how bright it is in its middle. */
export interface MadeSource {
  readonly x: number
  readonly y: number
  readonly peak: number
}

export const madeSources: readonly MadeSource[] = [
  { x: 40.3, y: 51.7, peak: 900 },
  { x: 120, y: 30.5, peak: 400 },
  { x: 201.25, y: 90.75, peak: 1500 },
  { x: 77.7, y: 160.2, peak: 250 },
  { x: 150.5, y: 201.5, peak: 3000 },
  { x: 222.9, y: 222.1, peak: 600 },
]

/** Round sources of 2 pixels' deviation, on a background of 100 with noise of 5. */
export function fitsOfMadeSources(sources: readonly MadeSource[] = madeSources, side = 256): Buffer {
  const noise = normalNumbers(12_345)
  const pixels = Buffer.alloc(4 * side * side)
  for (let y = 1; y <= side; y += 1)
    for (let x = 1; x <= side; x += 1) {
      const light = sources.map(
        ({ x: sourceX, y: sourceY, peak }) => peak * Math.exp(-((x - sourceX) ** 2 + (y - sourceY) ** 2) / 8),
      )
      const value = light.reduce((sum, each) => sum + each, 100 + 5 * noise())
      pixels.writeFloatBE(value, 4 * ((y - 1) * side + x - 1))
    }
  return makeFits(side, side, -32, pixels)
}

/** Always the same ones: Lehmer's generator (Park and Miller 1988), then Box and Muller (1958). */
function normalNumbers(seed: number): () => number {
  let state = seed
  const uniform = (): number => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}

function pad(bytes: Buffer, filler: string): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((2880 - (bytes.length % 2880)) % 2880, filler)])
}
