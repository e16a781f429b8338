import { randomUUID } from 'node:crypto'
import { extname } from 'node:path'
import { z } from 'zod'
import { openInside } from '../../files/safe-open.ts'
import { safeFileName } from '../../files/safe-file-name.ts'
import { ownerOf } from '../access/principal.ts'
import { attachment } from '../content-disposition.ts'
import { sendFile } from '../send-file.ts'
import { jsonRoute, rawRoute, type Call, type Route } from '../route.ts'
import { CaesarRefusal, dateText, jsonAnswer, sortKeys, tellBeside } from './answers.ts'
import { fileUnknown, visibleOwner, type CaesarRooms } from './parts.ts'
import type { StoredFile } from './stored-files.ts'

const uploadSchema = z.object({
  date: z.string(),
  filename_orig: z.string(),
  format: z.string().meta({ description: 'The ending, as it was sent.' }),
  size: z.number().meta({ description: 'In MiB.' }),
  status: z.string(),
  tag: z.string(),
  uuid: z.string().meta({ description: 'By which jobs and downloads name the file.' }),
})

const fileSchema = z.object({
  filedate: z.string(),
  fileext: z.string(),
  fileid: z.string(),
  filename_orig: z.string(),
  filesize: z.number().meta({ description: 'In MiB.' }),
  metadata: z.string(),
  tag: z.string(),
})

/** A refused upload has the members of one that was taken, without their values. */
const noUpload = { date: '', filename_orig: '', format: '', size: '', tag: '', uuid: '' }
const mebibyte = 2 ** 20
const longestTag = 1000
const problems = ['file-missing'] as const

/** Uploads: what takes, tells, gives back and deletes them. */
export function fileRoutes(rooms: CaesarRooms): readonly Route[] {
  const { files, settings, quotas, now } = rooms
  const find = ({ path, principal }: Call): StoredFile => {
    const id = path['uuid'] ?? ''
    const file = files.find(id, visibleOwner(principal))
    if (file === undefined) throw fileUnknown(id)
    return file
  }
  const getAndPost = (make: (method: 'GET' | 'POST') => Route): readonly Route[] =>
    (['GET', 'POST'] as const).map((method) => make(method))
  const token = { access: 'token', parameters: z.object({}), problems } as const

  return [
    jsonRoute({
      method: 'POST',
      path: '/upload',
      audit: 'upload',
      summary: 'Upload a file for jobs.',
      access: 'token',
      parameters: z.object({ tag: z.string().default('') }),
      file: 'file',
      fileBytesAtMost: settings.fileBytes,
      admitFile: (_, { fileName }) => void readName(fileName, settings.fileTypes),
      tellProblem: tellBeside(noUpload),
      problems: ['parameter-invalid', 'quota-exceeded', 'disk-full'],
      answer: { status: 200, description: 'The upload.', schema: uploadSchema },
      async handle({ files: received, parameters, principal, note }) {
        const [file] = received
        if (file === undefined) throw new CaesarRefusal(400, 'Missing file field in request!')
        const { name, extension } = readName(file.fileName, settings.fileTypes)
        const stored: StoredFile = {
          id: randomUUID().replaceAll('-', ''),
          owner: ownerOf(principal),
          name,
          extension,
          bytes: file.sizeBytes,
          uploadedAt: now(),
          tag: parameters.tag.slice(0, longestTag),
        }
        note({ object: stored.id })
        await quotas.keep(stored.owner, stored.bytes, async () => files.add(stored, file))
        return sortKeys({
          date: dateText(stored.uploadedAt),
          filename_orig: name,
          format: extension,
          size: stored.bytes / mebibyte,
          status: 'File uploaded with success',
          tag: stored.tag,
          uuid: stored.id,
        })
      },
    }),
    jsonRoute({
      ...token,
      method: 'GET',
      path: '/fileids',
      summary: 'The uploaded files.',
      answer: { status: 200, description: 'The files, oldest first.', schema: z.array(fileSchema) },
      handle: ({ principal }) => files.list(visibleOwner(principal)).map(tellFile),
    }),
    ...getAndPost((method) =>
      rawRoute({
        ...token,
        method,
        path: '/download',
        summary: 'Where a file is downloaded.',
        parameters: z.object({ uuid: z.string().optional() }),
        answer: { status: 302, description: 'The address of the file.' },
        handle({ parameters: { uuid } }) {
          if (uuid === undefined) throw new CaesarRefusal(400, 'No uuid found in request!')
          const location = `${settings.mount}/download/${encodeURIComponent(uuid.toWellFormed())}`
          return new Response(null, { status: 302, headers: { location } })
        },
      }),
    ),
    ...getAndPost((method) =>
      rawRoute({
        ...token,
        method,
        path: '/download/:uuid',
        audit: 'download',
        summary: 'Download a file.',
        body: 'text',
        problems: ['file-missing', 'range-invalid'],
        answer: {
          status: 200,
          description: 'The bytes; 206 with a part when a range was asked for.',
          contentType: 'application/octet-stream',
        },
        async handle(call) {
          const file = find(call)
          call.note({ object: file.id })
          const { directory, name } = files.locate(file)
          const opened = await openInside(directory, name).catch(() => {
            throw fileUnknown(file.id)
          })
          return asAttachment(await sendFile(opened, false, call), name, contentTypeOf(file.extension), call)
        },
      }),
    ),
    ...getAndPost((method) =>
      rawRoute({
        ...token,
        method,
        path: '/delete/:uuid',
        audit: 'delete',
        summary: 'Delete a file. Jobs that were given it have copies of their own.',
        body: 'text',
        answer: { status: 200, description: 'It is gone.', contentType: 'application/json' },
        async handle(call) {
          const file = find(call)
          call.note({ object: file.id })
          await files.remove(file)
          return jsonAnswer({ status: 'File deleted and removed from DB' })
        },
      }),
    ),
  ]
}

/** What a file is called here. Throws CaesarRefusal for one of a type that is not taken. */
function readName(fileName: string, fileTypes: readonly string[]): { name: string; extension: string } {
  if (fileName === '') throw new CaesarRefusal(400, 'No file retrieved from request!')
  const name = safeFileName(fileName)
  const extension = extname(name).slice(1)
  if (!fileTypes.includes(extension.toLowerCase())) throw new CaesarRefusal(415, typeRefused(fileTypes))
  return { name, extension }
}

/** The answer with a file, under another name and as what it is; or that the client has it already. */
export async function asAttachment(
  answer: Response,
  name: string,
  contentType: string,
  { header }: Pick<Call, 'header'>,
): Promise<Response> {
  const headers = new Headers(answer.headers)
  headers.set('content-disposition', attachment(name))
  headers.set('content-type', contentType)
  headers.set('cache-control', 'no-cache')
  const entityTag = headers.get('etag')
  const known = new Set(
    (header('if-none-match') ?? '').split(',').map((each) => each.trim().replace(/^W\//, '')),
  )
  if (answer.status === 200 && entityTag !== null && (known.has(entityTag) || known.has('*'))) {
    await answer.body?.cancel()
    for (const each of ['content-length', 'content-type', 'content-disposition']) headers.delete(each)
    return new Response(null, { status: 304, headers })
  }
  return new Response(answer.body, { status: answer.status, headers })
}

export function contentTypeOf(extension: string): string {
  return contentTypes[extension.toLowerCase()] ?? 'application/octet-stream'
}

const contentTypes: Readonly<Record<string, string>> = {
  fits: 'image/fits',
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  svg: 'image/svg+xml',
  json: 'application/json',
  dat: 'application/octet-stream',
}

function tellFile({ id, name, extension, bytes, uploadedAt, tag }: StoredFile): z.input<typeof fileSchema> {
  return {
    filedate: dateText(uploadedAt),
    fileext: extension,
    fileid: id,
    filename_orig: name,
    filesize: bytes / mebibyte,
    metadata: '',
    tag,
  }
}

function typeRefused(fileTypes: readonly string[]): string {
  return `File format not allowed, allowed file types are: {${fileTypes.join('|')}}`
}
