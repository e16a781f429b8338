import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  boolean,
  commandTask,
  copyFile,
  display,
  file,
  functionTask,
  input,
  integer,
  keepFile,
  number,
  output,
  placeFile,
  string,
  text,
} from 'molehill'
import { readCatalog } from './catalog.ts'
import { configure } from './configuration.ts'
import { withFits } from './fits.ts'
import { drawPreview, stretches, type Stretch } from './picture.ts'

// Which sources are there in a picture of the sky, where, how bright and of what shape? SExtractor finds them. What is
// chosen at the start reaches it in files of its own: nothing of it is ever part of a command line.

const image = file('image')
const threshold = number('threshold', { default: 1.5 })
const minimumArea = integer('minimumArea', { default: 5 })
const smoothing = number('smoothing', { default: 2 })
const deblendLevels = integer('deblendLevels', { default: 32 })
const deblendContrast = number('deblendContrast', { default: 0.005 })
const keepSpurious = boolean('keepSpurious', { default: false })
const background = string('background', { default: 'measured' })
const meshSize = integer('meshSize', { default: 64 })
const magnitudeZeroPoint = number('magnitudeZeroPoint', { default: 25 })
const gain = number('gain', { default: 0 })
const pixelScale = number('pixelScale', { default: 1 })
const saturation = number('saturation', { default: 1e12 })
const stretch = string('stretch', { default: 'asinh' })

const settings = file('settings')
const measured = file('measured')
const smoothingMask = file('smoothingMask')
const table = file('table')
const sources = integer('sources')
const json = file('json')
const preview = file('preview')

const prepare = functionTask('prepare', {
  inputs: [
    threshold,
    minimumArea,
    smoothing,
    deblendLevels,
    deblendContrast,
    keepSpurious,
    background,
    meshSize,
    magnitudeZeroPoint,
    gain,
    pixelScale,
    saturation,
  ],
  outputs: [settings, measured, smoothingMask],
  async run(choices, { directory }) {
    for (const [name, content] of Object.entries(configure(choices)))
      await writeFile(join(directory, name), content)
    return {
      settings: join(directory, 'source-finder.sex'),
      measured: join(directory, 'columns.param'),
      smoothingMask: join(directory, 'smoothing.conv'),
    }
  },
})

const extract = commandTask('extract', {
  command: ['source-extractor', 'image.fits', '-c', 'source-finder.sex'],
  inputs: [
    placeFile(image, 'image.fits'),
    placeFile(settings, 'source-finder.sex'),
    placeFile(measured, 'columns.param'),
    placeFile(smoothingMask, 'smoothing.conv'),
  ],
  outputs: [keepFile(table, 'catalog.dat')],
})

const present = functionTask('present', {
  inputs: [image, table, stretch],
  outputs: [sources, json, preview],
  async run({ image, table, stretch }, { directory }) {
    const [json, preview] = [join(directory, 'catalog.json'), join(directory, 'preview.png')]
    const catalog = readCatalog(await readFile(table, 'utf8'))
    const picture = await withFits(image, async (fits) => {
      const { width, height } = fits
      await writeFile(json, `${JSON.stringify({ image: { width, height }, ...catalog }, null, 1)}\n`)
      return drawPreview(fits, catalog, stretch as Stretch)
    })
    await writeFile(preview, picture)
    return { sources: catalog.sources.length, json, preview }
  },
}).hook(
  copyFile(table, 'catalog.dat'),
  copyFile(json, 'catalog.json'),
  copyFile(preview, 'preview.png'),
  display(text`Found ${sources} sources.`),
)

export default prepare
  .next(extract)
  .next(present)
  .describe({
    title: 'Source finder',
    description:
      'Finds and measures the sources in an astronomical image with SExtractor (Bertin and Arnouts 1996).',
    category: 'astronomy',
    inputs: [
      input(image, { title: 'FITS image', formats: ['fits', 'fit', 'fts'] }),
      input(threshold, {
        title: 'Detection threshold, in standard deviations above the background',
        minimum: 0.1,
        maximum: 10_000,
        category: 'detection',
      }),
      input(minimumArea, {
        title: 'Fewest pixels above the threshold',
        minimum: 1,
        maximum: 10_000,
        category: 'detection',
      }),
      input(smoothing, {
        title: 'Width of the Gaussian that smoothes the image for detection, in pixels; 0 does not smooth',
        minimum: 0,
        maximum: 15,
        category: 'detection',
      }),
      input(keepSpurious, {
        title: 'Keep what may be the wing of a bright neighbour',
        category: 'detection',
        advanced: true,
      }),
      input(deblendLevels, {
        title: 'Levels at which blended sources are told apart',
        minimum: 1,
        maximum: 64,
        category: 'deblending',
        advanced: true,
      }),
      input(deblendContrast, {
        title: 'Smallest share of the flux that makes a source of its own',
        minimum: 0,
        maximum: 1,
        category: 'deblending',
        advanced: true,
      }),
      input(background, {
        title: 'Whether the background is measured, or taken as zero',
        values: ['measured', 'zero'],
        category: 'background',
      }),
      input(meshSize, {
        title: 'Side of the squares in which the background is measured, in pixels',
        minimum: 4,
        maximum: 10_000,
        category: 'background',
      }),
      input(magnitudeZeroPoint, {
        title: 'Magnitude of a flux of 1',
        minimum: -100,
        maximum: 100,
        category: 'photometry',
      }),
      input(gain, {
        title: 'Electrons a count of the detector; 0 where there is no noise of photons',
        minimum: 0,
        maximum: 1e9,
        category: 'photometry',
      }),
      input(pixelScale, {
        title: 'Side of a pixel, in seconds of arc; 0 takes what the header says',
        minimum: 0,
        maximum: 1e6,
        category: 'photometry',
      }),
      input(saturation, {
        title: 'Counts at which a pixel is saturated',
        minimum: 0,
        maximum: 1e20,
        category: 'photometry',
        advanced: true,
      }),
      input(stretch, {
        title: 'How brightness becomes grey in the preview',
        values: stretches,
        category: 'preview',
      }),
    ],
    outputs: [
      output('catalog.json', {
        title: 'Sources, a JSON object each',
        role: 'sources',
      }),
      output('catalog.dat', { title: 'Sources, as SExtractor writes them', role: 'sources-table' }),
      output('preview.png', { title: 'The image, with an ellipse around each source', role: 'preview' }),
    ],
  })
