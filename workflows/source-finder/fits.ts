import { open, type FileHandle } from 'node:fs/promises'

/** The picture of a FITS file: its first plane, read row by row. */
export interface FitsImage {
  readonly width: number
  readonly height: number
  /** Rows from the bottom up, as FITS has them. What is no number is a pixel without a value. */
  rows(): AsyncIterable<Float64Array>
}

/** FITS Standard 4.0, section 3.1: files come in blocks of this size. */
const blockBytes = 2880
const cardBytes = 80
/** Of a header; one of more cards is taken for something else than FITS. */
const mostBlocks = 4000
const longestRow = 2 ** 24

/**
 * Opens the first image of a FITS file that is not compressed. Throws an Error that says what was expected. The file
 * must stay open while rows are read: whoever calls closes it.
 */
export async function openFits(handle: FileHandle): Promise<FitsImage> {
  const { size } = await handle.stat()
  let position = 0
  while (position < size) {
    const header = await readHeader(handle, position)
    const axes = Array.from({ length: header.integer('NAXIS') }, (_, index) =>
      header.integer(`NAXIS${index + 1}`),
    )
    const bits = header.integer('BITPIX')
    const isImage = header.text('SIMPLE') === 'T' || header.text('XTENSION') === 'IMAGE'
    const [width = 0, height = 0] = axes
    if (isImage && axes.length >= 2 && width > 0 && height > 0)
      return imageAt(handle, header, { width, height, bits })
    const pixels = axes.length === 0 ? 0 : axes.reduce((product, length) => product * length, 1)
    const dataBytes = (pixels + header.integer('PCOUNT', 0)) * (Math.abs(bits) / 8)
    position = header.end + Math.ceil(dataBytes / blockBytes) * blockBytes
  }
  throw new Error('Expected a FITS file with an image of two axes, found none in it.')
}

/** Opens a FITS file, and closes it when `use` is through with its image. */
export async function withFits<Result>(
  path: string,
  use: (image: FitsImage) => Promise<Result>,
): Promise<Result> {
  const handle = await open(path)
  try {
    return await use(await openFits(handle))
  } finally {
    await handle.close()
  }
}

interface Header {
  /** Where the data begin. */
  readonly end: number
  text(keyword: string): string | undefined
  number(keyword: string, fallback: number): number
  integer(keyword: string, fallback?: number): number
}

async function readHeader(handle: FileHandle, start: number): Promise<Header> {
  const cards = new Map<string, string>()
  for (let block = 0; block < mostBlocks; block += 1) {
    const at = start + block * blockBytes
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(blockBytes), 0, blockBytes, at)
    if (bytesRead < blockBytes)
      throw new Error(`Expected a FITS header at byte ${start}; the file ends in it.`)
    for (let card = 0; card < blockBytes; card += cardBytes) {
      const line = buffer.toString('latin1', card, card + cardBytes)
      const keyword = line.slice(0, 8).trimEnd()
      if (keyword === 'END') return headerOf(cards, at + blockBytes)
      if (line.startsWith('= ', 8)) cards.set(keyword, readCard(line.slice(10)))
    }
    if (block === 0 && !cards.has('SIMPLE') && !cards.has('XTENSION'))
      throw new Error('Expected a FITS file: its first line says SIMPLE.')
  }
  throw new Error(`Expected a FITS header of at most ${mostBlocks} blocks.`)
}

function readCard(field: string): string {
  const quoted = /^\s*'((?:[^']|'')*)'/.exec(field)
  return (quoted?.[1] ?? field.split('/', 1)[0] ?? '').trim()
}

function headerOf(cards: ReadonlyMap<string, string>, end: number): Header {
  const number = (keyword: string, fallback: number): number =>
    Number((cards.get(keyword) ?? String(fallback)).replace(/d/i, 'E'))
  return {
    end,
    text: (keyword) => cards.get(keyword),
    number,
    integer(keyword, fallback = Number.NaN) {
      const value = number(keyword, fallback)
      if (!Number.isSafeInteger(value))
        throw new Error(`Expected a whole number in the FITS header: ${keyword}.`)
      return value
    },
  }
}

function imageAt(
  handle: FileHandle,
  header: Header,
  { width, height, bits }: { readonly width: number; readonly height: number; readonly bits: number },
): FitsImage {
  if (width > longestRow) throw new Error(`Expected rows of at most ${longestRow} pixels, got ${width}.`)
  const read = pixelReader(bits)
  const [scale, zero] = [header.number('BSCALE', 1), header.number('BZERO', 0)]
  // Blanks are marked in whole numbers only: FITS Standard 4.0, section 4.4.2.4.
  const blank = bits > 0 ? header.number('BLANK', Number.NaN) : Number.NaN
  const pixelBytes = Math.abs(bits) / 8
  return {
    width,
    height,
    async *rows() {
      const bytes = Buffer.alloc(width * pixelBytes)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const row = new Float64Array(width)
      for (let y = 0; y < height; y += 1) {
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, header.end + y * bytes.length)
        if (bytesRead < bytes.length)
          throw new Error(`Expected ${height} rows of pixels; the file ends in row ${y}.`)
        for (let x = 0; x < width; x += 1) {
          const raw = read(view, x * pixelBytes)
          row[x] = raw === blank ? Number.NaN : zero + scale * raw
        }
        yield row
      }
    },
  }
}

/** How a pixel of so many bits is read; negative ones are floating point. */
function pixelReader(bits: number): (view: DataView, offset: number) => number {
  switch (bits) {
    case 8:
      return (view, offset) => view.getUint8(offset)
    case 16:
      return (view, offset) => view.getInt16(offset)
    case 32:
      return (view, offset) => view.getInt32(offset)
    case 64:
      return (view, offset) => Number(view.getBigInt64(offset))
    case -32:
      return (view, offset) => view.getFloat32(offset)
    case -64:
      return (view, offset) => view.getFloat64(offset)
    default:
      throw new Error(`Expected pixels of 8, 16, 32, 64, -32 or -64 bits, got ${bits}.`)
  }
}
