import { columns } from './catalog.ts'

/** What whoever starts the workflow chooses. */
export interface Choices {
  readonly threshold: number
  readonly minimumArea: number
  readonly smoothing: number
  readonly deblendLevels: number
  readonly deblendContrast: number
  readonly keepSpurious: boolean
  readonly background: string
  readonly meshSize: number
  readonly magnitudeZeroPoint: number
  readonly gain: number
  readonly pixelScale: number
  readonly saturation: number
}

/** The files by which SExtractor is told what to do, by their names. */
export function configure(choices: Choices): Readonly<Record<string, string>> {
  const settings: Readonly<Record<string, string | number>> = {
    CATALOG_NAME: 'catalog.dat',
    CATALOG_TYPE: 'ASCII_HEAD',
    PARAMETERS_NAME: 'columns.param',
    DETECT_TYPE: 'CCD',
    THRESH_TYPE: 'RELATIVE',
    DETECT_THRESH: choices.threshold,
    ANALYSIS_THRESH: choices.threshold,
    DETECT_MINAREA: choices.minimumArea,
    FILTER: choices.smoothing > 0 ? 'Y' : 'N',
    FILTER_NAME: 'smoothing.conv',
    DEBLEND_NTHRESH: choices.deblendLevels,
    DEBLEND_MINCONT: choices.deblendContrast,
    CLEAN: choices.keepSpurious ? 'N' : 'Y',
    WEIGHT_TYPE: 'NONE',
    BACK_TYPE: choices.background === 'zero' ? 'MANUAL' : 'AUTO',
    BACK_VALUE: 0,
    BACK_SIZE: choices.meshSize,
    BACK_FILTERSIZE: 3,
    MAG_ZEROPOINT: choices.magnitudeZeroPoint,
    GAIN: choices.gain,
    PIXEL_SCALE: choices.pixelScale,
    SATUR_LEVEL: choices.saturation,
    CHECKIMAGE_TYPE: 'NONE',
    VERBOSE_TYPE: 'QUIET',
    NTHREADS: 1,
    WRITE_XML: 'N',
  }
  return {
    'source-finder.sex': lines(Object.entries(settings).map(([name, value]) => `${name} ${value}`)),
    'columns.param': lines(columns),
    'smoothing.conv': smoothingMask(choices.smoothing),
  }
}

/** A Gaussian of so many pixels full width at half maximum, cut off where it is small. */
function smoothingMask(width: number): string {
  const deviation = Math.max(width, 0.1) / 2.3548
  const reach = Math.min(15, Math.max(1, Math.ceil(2 * deviation)))
  const offsets = Array.from({ length: 2 * reach + 1 }, (_, index) => index - reach)
  const rows = offsets.map((y) =>
    offsets.map((x) => Math.exp(-(x * x + y * y) / (2 * deviation ** 2)).toFixed(6)).join(' '),
  )
  return lines(['CONV NORM', ...rows])
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('')
}
