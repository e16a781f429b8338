import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'
import { fitsOfM51, fitsOfMadeSources, madeSources, makeFits, whyNoSourceFinder } from '../helpers/fits.ts'

const entry = join(import.meta.dirname, '../../workflows/source-finder')
const longMs = 120_000
const why = whyNoSourceFinder()

type Source = Readonly<Record<string, number>>

let engine: TestEngine

beforeAll(async () => {
  engine = await startTestEngine()
})
afterAll(async () => {
  await engine[Symbol.asyncDispose]()
})

async function runOn(image: Buffer, inputs: Readonly<Record<string, unknown>> = {}) {
  const { executions } = engine
  const signal = AbortSignal.timeout(100_000)
  const id = await executions.start({
    script: 'workflow.ts',
    signal,
    inputs: { image: 'inputs/image.fits', ...inputs },
    async fill(directory) {
      await cp(entry, directory, { recursive: true })
      await mkdir(join(directory, 'inputs'))
      await writeFile(join(directory, 'inputs/image.fits'), image)
    },
  })
  const state = await executions.ended(id, signal)
  const read = (path: string) => readFile(join(executions.workDirectory(id), path))
  return { state, output: await executions.output(id), read }
}

async function sourcesIn(image: Buffer, inputs: Readonly<Record<string, unknown>> = {}) {
  const { state, output, read } = await runOn(image, inputs)
  expect(state.error).toBeUndefined()
  const catalog = JSON.parse(String(await read('catalog.json'))) as {
    image: { width: number; height: number }
    columns: { name: string; unit: string }[]
    sources: Source[]
  }
  expect(output).toContain(`Found ${catalog.sources.length} sources.\n`)
  return { ...catalog, preview: await read('preview.png'), table: String(await read('catalog.dat')) }
}

function nearest(sources: readonly Source[], x: number, y: number): number {
  return Math.min(
    ...sources.map((each) => Math.hypot((each['X_IMAGE'] ?? 0) - x, (each['Y_IMAGE'] ?? 0) - y)),
  )
}

/** Red, green and blue of a PNG as `encodePng` writes it, by column and row from the top left. */
function readPng(png: Buffer) {
  expect(png.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n')
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  const start = png.indexOf('IDAT')
  const rows = inflateSync(png.subarray(start + 4, start + 4 + png.readUInt32BE(start - 4)))
  expect(rows.length).toBe(height * (3 * width + 1))
  const colour = (column: number, row: number) => {
    const at = row * (3 * width + 1) + 1 + 3 * column
    return [...rows.subarray(at, at + 3)]
  }
  return { width, height, colour }
}

describe.skipIf(why !== undefined)(
  `the source finder${why === undefined ? '' : ` (skipped: ${why})`}`,
  () => {
    it(
      'finds every source of a made image within a pixel, and nothing else',
      { timeout: longMs },
      async () => {
        const { sources, image, columns, preview, table } = await sourcesIn(fitsOfMadeSources(), {
          threshold: 4,
        })
        expect(image).toEqual({ width: 256, height: 256 })
        expect(sources).toHaveLength(madeSources.length)
        for (const { x, y } of madeSources) expect(nearest(sources, x, y), `at ${x}, ${y}`).toBeLessThan(0.5)
        expect(columns.find(({ name }) => name === 'X_IMAGE')).toMatchObject({ unit: 'pixel' })
        expect(
          table
            .trimEnd()
            .split('\n')
            .filter((line) => !line.startsWith('#')),
        ).toHaveLength(sources.length)

        const { width, height, colour } = readPng(preview)
        expect([width, height]).toEqual([256, 256])
        // The brightest one is white in its middle, where it is once rows are counted from the top.
        expect(colour(150, 256 - 202)).toEqual([255, 255, 255])
        expect(colour(10, 10)[0]).toBeLessThan(100)
      },
    )

    it('finds the core of M51 and its brightest stars', { timeout: longMs }, async () => {
      const { sources, image } = await sourcesIn(fitsOfM51())
      expect(image).toEqual({ width: 512, height: 512 })
      const expected = JSON.parse(await readFile(join(entry, 'expected/m51.json'), 'utf8')) as {
        sources: number
        brightest: { x: number; y: number; magnitude: number }[]
      }
      expect(sources).toHaveLength(expected.sources)
      for (const { x, y, magnitude } of expected.brightest) {
        const found = sources.filter((each) => nearest([each], x, y) < 1)
        expect(found, `at ${x}, ${y}`).toHaveLength(1)
        expect(found[0]?.['MAG_AUTO']).toBeCloseTo(magnitude, 1)
      }
    })

    it('obeys what is chosen at the start', { timeout: longMs }, async () => {
      const image = fitsOfMadeSources()
      const [few, dimmer] = await Promise.all([
        sourcesIn(image, {
          threshold: 120,
          smoothing: 0,
          background: 'zero',
          stretch: 'linear',
          keepSpurious: true,
        }),
        sourcesIn(image, { threshold: 4, magnitudeZeroPoint: 20 }),
      ])
      expect(few.sources).toHaveLength(4)
      expect(dimmer.sources[0]?.['MAG_AUTO']).toBeLessThan(16)
    })

    it.each([
      [
        'whole numbers with a zero point',
        makeFits(64, 64, 16, Buffer.alloc(8192, 7), { BZERO: '32768', BSCALE: '1.0D0' }),
      ],
      ['a picture without anything in it', makeFits(64, 64, 8, Buffer.alloc(4096))],
      [
        'a picture that is no square',
        makeFits(80, 33, 8, Buffer.from(Array.from({ length: 2640 }, (_, at) => at % 11))),
      ],
    ])('takes %s', { timeout: longMs }, async (_, image) => {
      const { preview } = await sourcesIn(image, { threshold: 50 })
      expect(readPng(preview).width).toBeGreaterThan(60)
    })

    it.each([
      ['no FITS file', Buffer.from('GIF89a nothing of the sky')],
      ['an empty file', Buffer.alloc(0)],
      ['a file that ends early', fitsOfMadeSources().subarray(0, 20_000)],
    ])('fails on %s and says so', { timeout: longMs }, async (_, image) => {
      const { state } = await runOn(image)
      expect(state.state).toBe('failed')
      expect(state.error?.message).toMatch(/extract|present/)
    })
  },
)
