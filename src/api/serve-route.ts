import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { Readable } from 'node:stream'
import { Problem } from '../problem.ts'
import { addressKey, type RequestLimiter } from './access/request-limiter.ts'
import type { Tokens } from './access/tokens.ts'
import { collectParameters, readParameters, type ParameterTexts } from './parameters.ts'
import { bodyTooLarge, readText, type BodyLimits } from './read-body.ts'
import { readMultipart, type ReceivedPart } from './read-multipart.ts'
import type { AuditAction, Call, ReceivedFile, Route } from './route.ts'
import type { FileUpload, Upload, Uploads } from './uploads.ts'

export interface ApiEnvironment {
  /** Empty where no connection is behind a request. */
  Bindings: Partial<HttpBindings>
  Variables: {
    requestId: string
    route: string
    executionId: string
    object: string
    tokenId: string
    audit: AuditAction
    code: string
    answerHeaders: Headers
  }
}
export type ApiContext = Context<ApiEnvironment>

export interface ServeParts {
  readonly tokens: Pick<Tokens, 'verify'>
  readonly uploads: Uploads
  /** Counts requests by address and by token; without, all pass. */
  readonly limiter?: RequestLimiter
  readonly limits: BodyLimits
  /** Aborted when the server begins to stop. */
  readonly stopping: AbortSignal
  /** Told when an answer broke off that had already begun. */
  readonly reportBroken: (reason: unknown, requestId: string) => void
}

/** Takes a request through its route: reads it, checks token and parameters, calls the handler. Throws Problem. */
export async function serveRoute(context: ApiContext, route: Route, parts: ServeParts): Promise<Response> {
  if (route.audit !== undefined) context.set('audit', route.audit)
  // Probes and the page cost nothing, and monitoring must not be refused.
  if (route.method !== 'GET' || route.access !== 'open')
    parts.limiter?.take(addressKey(context.env.incoming?.socket.remoteAddress ?? ''))
  const received: Received = { isBegun: false, files: [] }
  const texts = collectParameters()
  for (const [name, text] of new URL(context.req.url).searchParams) texts.add(name, text)
  const findToken = () => texts.get('token') ?? bearerToken(context.req.header('authorization'))
  const identify = async () => {
    const token = findToken()
    if (route.access === 'open') return ''
    const { id } = await parts.tokens.verify(token)
    if (context.get('tokenId') === undefined) parts.limiter?.take(`token ${id}`)
    context.set('tokenId', id)
    return id
  }
  // A token that came ahead of the body is checked first: a large body is then not even sent.
  if (findToken() !== undefined) await identify()
  try {
    await readBody(context, route, parts, texts, {
      async archive({ stream }, signal) {
        if (received.isBegun) throw new Problem('body-invalid', 'Expected one archive, got two.')
        received.isBegun = true
        await identify().catch(explainOrder)
        received.upload = await parts.uploads.receive(stream, signal)
      },
      async file({ stream, fileName }, field, signal) {
        await identify().catch(explainOrder)
        received.files.push({ field, fileName, ...(await parts.uploads.receiveFile(stream, signal)) })
      },
    })
    const tokenId = await identify()
    refuseMissingArchive(route, received, texts)
    const execution = texts.get('id')
    if (execution !== undefined) context.set('executionId', execution)
    const parameters = readParameters(route.parameters, texts)
    const { upload: archive, files } = received
    return await callHandler(context, route, parts, { parameters, tokenId, archive, files })
  } finally {
    const all = [received.upload, ...received.files]
    await Promise.all(all.map(async (each) => each?.discard()))
  }
}

/** What has come of a request so far. */
interface Received {
  /** Whether an archive has begun to come. */
  isBegun: boolean
  upload?: Upload
  readonly files: (FileUpload & ReceivedFile)[]
}

async function callHandler(
  context: ApiContext,
  route: Route,
  parts: ServeParts,
  checked: Pick<Call<Record<string, unknown>>, 'parameters' | 'tokenId' | 'archive' | 'files'>,
): Promise<Response> {
  const call: Call<Record<string, unknown>> = {
    ...checked,
    answerHeaders: context.get('answerHeaders'),
    header: (name) => context.req.header(name),
    note: ({ executionId, tokenId, object }) => {
      if (executionId !== undefined) context.set('executionId', executionId)
      if (tokenId !== undefined) context.set('tokenId', tokenId)
      if (object !== undefined) context.set('object', object)
    },
    address: context.env.incoming?.socket.remoteAddress ?? '',
    signal: context.req.raw.signal,
    stopping: parts.stopping,
    breakOff: (reason) => {
      parts.reportBroken(reason, context.get('requestId'))
      const { outgoing } = context.env
      outgoing?.destroy()
      return outgoing !== undefined
    },
  }
  if (route.kind === 'raw') return await route.handle(call)
  return context.json(await route.handle(call), route.answer.status)
}

async function readBody(
  context: ApiContext,
  route: Route,
  { limits }: ServeParts,
  texts: ParameterTexts,
  onFile: FileReceivers,
): Promise<void> {
  const body = openBody(context)
  if (body === undefined) return
  const encoding = context.req.header('content-encoding')
  if (encoding !== undefined && encoding !== 'identity')
    throw new Problem(
      'body-invalid',
      `Expected a request without Content-Encoding, got ${encoding.slice(0, 40)}.`,
    )
  const takesFiles = route.archive !== undefined || route.filePrefix !== undefined
  const limitBytes = (takesFiles ? limits.uploadBytes : 0) + limits.textBytes
  if (Number(context.req.header('content-length') ?? 0) > limitBytes) throw bodyTooLarge(limitBytes)

  const contentType = context.req.header('content-type') ?? ''
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (!mediaTypes.has(mediaType))
    throw new Problem('body-invalid', `Expected a form, got ${JSON.stringify(contentType.slice(0, 100))}.`, {
      hint: 'Send parameters in the query string, as application/x-www-form-urlencoded or as multipart/form-data.',
    })
  // curl asks before it sends a large body; now that the headers are fine, it may.
  if (context.req.header('expect') !== undefined) context.env.outgoing?.writeContinue()
  if (mediaType === 'application/x-www-form-urlencoded') {
    for (const [name, text] of new URLSearchParams(await readText(body, limitBytes, limits.idleMs)))
      texts.add(name, text)
    return
  }
  await readMultipart(body, contentType, limits, limitBytes, {
    onField: (name, text) => texts.add(name, text),
    onFile: async (name, file, failed) => {
      const signal = AbortSignal.any([failed, context.req.raw.signal])
      if (name === route.archive) await onFile.archive(file, signal)
      else if (route.filePrefix !== undefined && name.startsWith(route.filePrefix))
        await onFile.file(file, name.slice(route.filePrefix.length), signal)
      else throw fileUnexpected(name, route)
    },
    mostFiles: route.filePrefix === undefined ? 1 : mostFiles,
  })
}

/** At routes that take more than an archive. */
const mostFiles = 64

interface FileReceivers {
  archive(file: ReceivedPart, signal: AbortSignal): Promise<void>
  file(file: ReceivedPart, field: string, signal: AbortSignal): Promise<void>
}

const mediaTypes = new Set(['application/x-www-form-urlencoded', 'multipart/form-data'])

/** The request's body, or undefined when there is none. */
function openBody(context: ApiContext): Readable | undefined {
  const incoming = context.env.incoming
  // Node's own stream: going through a web stream doubles the cost of an upload.
  if (incoming !== undefined && 'httpVersion' in incoming)
    return incoming.headers['transfer-encoding'] !== undefined ||
      Number(incoming.headers['content-length'] ?? 0) > 0
      ? incoming
      : undefined
  const { body } = context.req.raw
  return body === null ? undefined : Readable.fromWeb(body)
}

/** RFC 6750, section 2.1. */
function bearerToken(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
}

function explainOrder(error: unknown): never {
  if (!(error instanceof Problem) || error.code !== 'token-invalid') throw error
  throw new Problem('token-invalid', error.message, {
    hint: 'The token must come before the file: as an earlier field, in the query string or as "Authorization: Bearer".',
  })
}

function refuseMissingArchive(
  { archive, insteadOfArchive }: Route,
  { upload }: Received,
  texts: ParameterTexts,
): void {
  if (archive === undefined || upload !== undefined) return
  if (insteadOfArchive === undefined || texts.get(insteadOfArchive) === undefined)
    throw archiveMissing(archive, texts.get(archive) !== undefined)
}

function archiveMissing(name: string, isText: boolean): Problem {
  return new Problem('archive-missing', `Missing mandatory ${name} parameter.`, {
    hint: isText
      ? `${name} came as text. Send the file itself: curl -F ${name}=@work.tar.gz, with the @.`
      : `Send the directory as a file: curl -F ${name}=@work.tar.gz`,
  })
}

function fileUnexpected(name: string, route: Route): Problem {
  const shown = JSON.stringify(name.slice(0, 100))
  return Object.hasOwn(route.parameters.shape, name)
    ? new Problem('parameter-invalid', `Expected text for the parameter ${shown}, got a file.`)
    : new Problem('body-invalid', `The file ${shown} is not expected here.`, {
        hint:
          route.archive === undefined
            ? `${route.path} takes no file.`
            : `The file that ${route.path} takes is named ${route.archive}.`,
      })
}
