import type { Readable } from 'node:stream'
import { Problem } from '../../problem.ts'
import { fieldsOf, numberOf, textOf } from '../../volunteers/protocol/scan.ts'
import { fileNamePattern } from './file-name.ts'

/** What a client says ahead of the bytes of a file. */
export type UploadRequest =
  | { readonly kind: 'size'; readonly name: string }
  | {
      readonly kind: 'file'
      readonly name: string
      readonly certificate: {
        readonly name: string
        readonly bytesAtMost: number
        readonly signature: string
      }
      /** Of the whole file. */
      readonly bytes: number
      /** Undefined where the client does not say. */
      readonly md5: string | undefined
      /** Of the first byte that follows. */
      readonly offset: number
      /** What came of the file together with the header. */
      readonly begin: Buffer
    }

/** The header is some 700 bytes; nothing is kept of one that does not end. */
const mostHeaderBytes = 16_384
const dataMark = Buffer.from('<data>\n')
const longestSignature = 2000

/** Reads up to where the file begins. What follows is still in `chunks`. Throws Problem body-invalid. */
export async function readUploadHeader(chunks: AsyncIterator<Buffer>): Promise<UploadRequest> {
  let head = Buffer.alloc(0)
  for (;;) {
    const at = head.indexOf(dataMark)
    if (at !== -1) return readFileHeader(head.subarray(0, at), head.subarray(at + dataMark.length))
    if (head.length > mostHeaderBytes) throw unreadable('there is no <data> in it')
    const { done, value } = await chunks.next()
    if (done === true) return readSizeRequest(head)
    head = Buffer.concat([head, value])
  }
}

function readSizeRequest(head: Buffer): UploadRequest {
  const request = fieldsOf(head.toString('latin1')).get('data_server_request')
  const name = fieldsOf(request ?? '').get('get_file_size')
  if (name === undefined) throw unreadable('it is neither a file nor a question for one')
  return { kind: 'size', name: checkName(textOf(name, 300)) }
}

function readFileHeader(head: Buffer, begin: Buffer): UploadRequest {
  if (head.length > mostHeaderBytes) throw unreadable('it is too long')
  // Elements without an end, as `file_upload` is, are passed over: what is in them counts.
  const fields = fieldsOf(head.toString('latin1'))
  const file = fieldsOf(fields.get('file_info') ?? '')
  const name = checkName(textOf(file.get('name'), 300))
  const bytesAtMost = numberOf(file.get('max_nbytes'), NaN)
  const bytes = numberOf(fields.get('nbytes'), NaN)
  const offset = numberOf(fields.get('offset'), NaN)
  if (!Number.isInteger(bytes) || !Number.isInteger(offset) || Number.isNaN(bytesAtMost))
    throw unreadable('a number is missing')
  const md5 = textOf(fields.get('md5_cksum'), 32).toLowerCase()
  return {
    kind: 'file',
    name,
    certificate: { name, bytesAtMost, signature: textOf(file.get('xml_signature'), longestSignature) },
    bytes,
    md5: md5 === '' ? undefined : md5,
    offset,
    begin,
  }
}

function checkName(name: string): string {
  if (!fileNamePattern.test(name))
    throw new Problem('path-unsafe', 'The name of the file is not one that this project gives.')
  return name
}

function unreadable(why: string): Problem {
  return new Problem('body-invalid', `The request cannot be read: ${why}`)
}

/** Pieces of a body as they come. Throws Problem body-invalid when it breaks off, or nothing comes for too long. */
export async function* piecesOf(body: Readable, idleMs: number): AsyncGenerator<Buffer, undefined> {
  // Closing the body would close the connection, before the answer.
  const pieces: AsyncIterator<Buffer> = body.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]()
  for (;;) {
    const idle = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => idle.reject(new Problem('body-invalid', `No byte of the request came for ${idleMs / 1000} s.`)),
      idleMs,
    )
    try {
      const { done, value } = await Promise.race([pieces.next().catch(explainEnd), idle.promise])
      if (done === true) return
      yield value
    } finally {
      clearTimeout(timer)
    }
  }
}

function explainEnd(cause: unknown): never {
  throw new Problem('body-invalid', 'The request broke off before its end.', { cause })
}
