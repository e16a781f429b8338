import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from '../../files/durable-file.ts'
import { isMissing } from '../../files/safe-open.ts'
import { Problem } from '../../problem.ts'
import type { UploadFile } from '../../volunteers/contract.ts'
import { isUploadSigned } from '../../volunteers/protocol/signatures.ts'
import type { VolunteerParts } from './parts.ts'
import type { UploadRequest } from './upload-header.ts'

/** What can never become right: the client gives the whole task up. Everything else it tries again. */
export class UploadRefusal extends Error {
  override readonly name = 'UploadRefusal'
}

type FileRequest = Extract<UploadRequest, { kind: 'file' }>

const partSuffix = '.part'

/** What is there of a file: so much the client need not send. */
export async function sizeOf(name: string, { volunteers }: VolunteerParts): Promise<number> {
  const upload = await volunteers.uploadOf(name)
  if (upload === undefined) return 0
  // Nobody needs it: told that all is there, the client sends nothing.
  if (upload.state === 'closed') return upload.bytesAtMost
  const whole = await sizeOnDisk(upload.path)
  if (whole === undefined) return (await sizeOnDisk(upload.path + partSuffix)) ?? 0
  // The server ended between writing it and remembering so.
  await volunteers.uploaded(name, { bytes: whole, md5: await md5OfFile(upload.path) })
  return whole
}

/**
 * Takes a file, or what is missing of it. When it returns, the bytes are on the disk and known to the project, or
 * nobody needs them. Throws UploadRefusal, and Problem for what may be tried again; what came until then is kept.
 */
export async function receiveUpload(
  request: FileRequest,
  pieces: AsyncIterable<Buffer>,
  parts: VolunteerParts,
): Promise<void> {
  const { name, certificate, bytes, offset } = request
  const signedUntil = signatureEnd(certificate, parts)
  if (bytes > certificate.bytesAtMost)
    throw new UploadRefusal(`The file is too large: ${bytes} bytes, at most ${certificate.bytesAtMost}`)
  const upload = await parts.volunteers.uploadOf(name)
  if (upload === undefined || upload.state === 'closed') return
  if (upload.givenAt >= signedUntil) throw wronglySigned()
  if (bytes > Math.min(upload.bytesAtMost, parts.uploadBytes))
    throw new UploadRefusal(`The file is too large: ${bytes} bytes`)
  await parts.checkDisk()
  const part = upload.path + partSuffix
  const handle = await open(part, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    const { size } = await handle.stat()
    if (offset > Math.min(size, bytes))
      throw new Problem('range-invalid', `There are ${size} bytes of ${bytes}, none at ${offset}`)
    await handle.truncate(offset)
    const end = await writePieces(handle, request, pieces)
    if (end < bytes) throw new Problem('body-invalid', `The file ends after ${end} of ${bytes} bytes`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await keepWhole(request, upload, parts)
}

/** Until when hosts were given certificates of the key that this one was made with. Throws where it is no key of ours. */
function signatureEnd(
  certificate: FileRequest['certificate'],
  { uploadKey, olderUploadKeys }: VolunteerParts,
): number {
  if (isUploadSigned(certificate, uploadKey)) return Infinity
  const older = olderUploadKeys.find(({ key }) => isUploadSigned(certificate, key))
  if (older === undefined) throw wronglySigned()
  return older.until
}

function wronglySigned(): UploadRefusal {
  return new UploadRefusal('Invalid signature of the upload')
}

async function writePieces(
  handle: FileHandle,
  { begin, offset, bytes }: FileRequest,
  pieces: AsyncIterable<Buffer>,
): Promise<number> {
  let at = offset
  const write = async (piece: Buffer) => {
    if (at + piece.length > bytes)
      throw new Problem('body-too-large', `More came than the ${bytes} bytes that were announced`)
    for (let done = 0; done < piece.length;) {
      const { bytesWritten } = await handle.write(piece, done, piece.length - done, at)
      done += bytesWritten
      at += bytesWritten
    }
  }
  await write(begin)
  for await (const piece of pieces) await write(piece)
  return at
}

async function keepWhole(
  { name, bytes, md5 }: FileRequest,
  { path }: UploadFile,
  { volunteers }: VolunteerParts,
): Promise<void> {
  const part = path + partSuffix
  const found = await md5OfFile(part)
  if (md5 !== undefined && found !== md5) {
    await rm(part, { force: true })
    throw new Problem('body-invalid', 'The MD5 of the file is another: send it again')
  }
  await rename(part, path)
  await syncDirectory(dirname(path))
  await volunteers.uploaded(name, { bytes, md5: found })
}

async function md5OfFile(path: string): Promise<string> {
  const hash = createHash('md5')
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  for await (const chunk of handle.createReadStream({ highWaterMark: 256 * 1024 }))
    hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function sizeOnDisk(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
