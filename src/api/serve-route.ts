import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { Readable } from 'node:stream'
import { Problem } from '../problem.ts'
import type { Authentication } from './access/authentication.ts'
import { limiterKey, nobody, type Principal } from './access/principal.ts'
import { addressKey, type RequestLimiter } from './access/request-limiter.ts'
import type { Quotas } from '../users/quotas.ts'
import { collectParameters, readParameters, type ParameterTexts } from './parameters.ts'
import { bodyTooLarge, readBytes, readText, type BodyLimits } from './read-body.ts'
import { readMultipart, type ReceivedPart } from './read-multipart.ts'
import type { AuditAction, Call, Dialect, ReceivedFile, Route, UnknownRequest } from './route.ts'
import type { FileUpload, Upload, Uploads } from './uploads.ts'

export interface ApiEnvironment {
  /** Empty where no connection is behind a request. */
  Bindings: Partial<HttpBindings>
  Variables: {
    requestId: string
    route: string
    executionId: string
    object: string
    principal: Principal
    audit: AuditAction
    code: string
    answerHeaders: Headers
  }
}
export type ApiContext = Context<ApiEnvironment>

export interface ServeParts {
  readonly authentication: Pick<Authentication, 'identify'>
  readonly uploads: Uploads
  /** What a user may still send; without, that is not limited. Throws Problem where it is nothing. */
  readonly uploadRoom?: Quotas['uploadRoom']
  /** Counts requests by address and by token; without, all pass. */
  readonly limiter?: RequestLimiter
  readonly limits: BodyLimits
  /** Aborted when the server begins to stop. */
  readonly stopping: AbortSignal
  /** Told when an answer broke off that had already begun. */
  readonly reportBroken: (reason: unknown, requestId: string) => void
}

/**
 * Takes a request through a route of a dialect: reads it, checks token and parameters, calls the handler. Throws Problem.
 */
export async function serveRoute(
  context: ApiContext,
  { authenticate }: Pick<Dialect, 'authenticate'>,
  route: Route,
  parts: ServeParts,
): Promise<Response> {
  if (route.audit !== undefined) context.set('audit', route.audit)
  const address = context.env.incoming?.socket.remoteAddress ?? ''
  // Probes and the page cost nothing, and monitoring must not be refused.
  const isCounted = route.limitsItself !== true && (route.method !== 'GET' || route.access !== 'open')
  if (isCounted) parts.limiter?.take(addressKey(address))
  const received: Received = { isBegun: false, isFileBegun: false, files: [], bytes: Buffer.alloc(0) }
  const texts = collectParameters()
  for (const [name, text] of new URL(context.req.url).searchParams) texts.add(name, text)
  const findToken = () => texts.get('token') ?? bearerToken(context.req.header('authorization'))
  let known: { readonly token: string | undefined; readonly principal: Principal } | undefined
  const identify = async (): Promise<Principal> => {
    if (route.access === 'open') return nobody
    const token = findToken()
    // Another one in the body counts instead of the one ahead of it.
    if (known !== undefined && (authenticate !== undefined || known.token === token)) return known.principal
    const principal =
      authenticate === undefined
        ? await parts.authentication.identify(token)
        : await authenticate(unknownRequest(context, texts, address))
    if (known === undefined) parts.limiter?.take(limiterKey(principal))
    known = { token, principal }
    context.set('principal', principal)
    return principal
  }
  const roomFor = async (principal: Principal) =>
    principal.kind === 'user' ? parts.uploadRoom?.(principal.name) : undefined
  // A token that came ahead of the body is checked first: a large body is then not even sent.
  if (authenticate !== undefined || findToken() !== undefined) await identify()
  try {
    await readBody(context, route, parts, texts, {
      async archive({ stream }, signal) {
        if (received.isBegun) throw new Problem('body-invalid', 'Expected one archive, got two.')
        received.isBegun = true
        const principal = await identify().catch(explainOrder)
        route.admitArchive?.(principal)
        received.upload = await parts.uploads.receive(stream, signal, await roomFor(principal))
      },
      async file({ stream, fileName }, field, signal) {
        if (received.isFileBegun && route.filePrefix === undefined)
          throw new Problem('body-invalid', 'Expected one file, got two.')
        received.isFileBegun = true
        const principal = await identify().catch(explainOrder)
        route.admitFile?.(unknownRequest(context, texts, address), { field, fileName })
        const most = { bytes: route.fileBytesAtMost, room: await roomFor(principal) }
        const file = await parts.uploads.receiveFile(stream, signal, most)
        received.files.push({ field, fileName, ...file })
      },
      text: (bytes) => (received.bytes = bytes),
      stream: (body) => (received.stream = body),
    })
    const principal = await identify()
    refuseMissingArchive(route, received, texts)
    const execution = texts.get('id')
    if (execution !== undefined) context.set('executionId', execution)
    const parameters = readParameters(route.parameters, texts)
    const { upload: archive, files, bytes, stream } = received
    return await callHandler(context, route, parts, {
      parameters,
      path: context.req.param(),
      text: bytes.toString('utf8'),
      bytes,
      stream,
      principal,
      address,
      archive,
      files,
    })
  } finally {
    const all = [received.upload, ...received.files]
    await Promise.all(all.map(async (each) => each?.discard()))
  }
}

function unknownRequest(context: ApiContext, texts: ParameterTexts, address: string): UnknownRequest {
  return {
    header: (name) => context.req.header(name),
    parameter: (name) => texts.get(name),
    path: context.req.param(),
    address,
  }
}

/** What has come of a request so far. */
interface Received {
  /** Whether an archive has begun to come. */
  isBegun: boolean
  /** Whether another file has. */
  isFileBegun: boolean
  upload?: Upload
  readonly files: (FileUpload & ReceivedFile)[]
  bytes: Buffer
  stream?: Readable
}

async function callHandler(
  context: ApiContext,
  route: Route,
  parts: ServeParts,
  checked: Pick<
    Call<Record<string, unknown>>,
    'parameters' | 'path' | 'text' | 'bytes' | 'stream' | 'principal' | 'address' | 'archive' | 'files'
  >,
): Promise<Response> {
  const call: Call<Record<string, unknown>> = {
    ...checked,
    answerHeaders: context.get('answerHeaders'),
    header: (name) => context.req.header(name),
    note: ({ executionId, principal, object, audit, code }) => {
      if (executionId !== undefined) context.set('executionId', executionId)
      if (principal !== undefined) context.set('principal', principal)
      if (object !== undefined) context.set('object', object)
      if (audit !== undefined) context.set('audit', audit)
      if (code !== undefined) context.set('code', code)
    },
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
  on: BodyReceivers,
): Promise<void> {
  const body = openBody(context)
  if (body === undefined) return
  const encoding = context.req.header('content-encoding')
  if (encoding !== undefined && encoding !== 'identity')
    throw new Problem(
      'body-invalid',
      `Expected a request without Content-Encoding, got ${encoding.slice(0, 40)}.`,
    )
  const contentType = context.req.header('content-type') ?? ''
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const isText = route.body === 'text' || (route.body === 'either' && mediaType !== 'multipart/form-data')
  const takesFiles = !isText && (route.archive ?? route.filePrefix ?? route.file) !== undefined
  const textBytes = route.bodyBytesAtMost ?? limits.textBytes
  // A form without parts has no files, and is read into memory.
  const limitBytes = (takesFiles && mediaType === 'multipart/form-data' ? limits.uploadBytes : 0) + textBytes
  if (Number(context.req.header('content-length') ?? 0) > limitBytes) throw bodyTooLarge(limitBytes)

  // curl asks before it sends a large body; now that the headers are fine, it may.
  const goOn = () => {
    if (context.req.header('expect') !== undefined) context.env.outgoing?.writeContinue()
  }
  if (route.body === 'stream') {
    goOn()
    on.stream(body)
    return
  }
  if (isText) {
    goOn()
    on.text(await readBytes(body, limitBytes, limits.idleMs))
    return
  }
  if (!mediaTypes.has(mediaType))
    throw new Problem('body-invalid', `Expected a form, got ${JSON.stringify(contentType.slice(0, 100))}.`, {
      hint: 'Send parameters in the query string, as application/x-www-form-urlencoded or as multipart/form-data.',
    })
  goOn()
  if (mediaType === 'application/x-www-form-urlencoded') {
    for (const [name, text] of new URLSearchParams(await readText(body, limitBytes, limits.idleMs)))
      texts.add(name, text)
    return
  }
  await readMultipart(body, contentType, { ...limits, textBytes }, limitBytes, {
    onField: (name, text) => texts.add(name, text),
    onFile: async (name, file, failed) => {
      const signal = AbortSignal.any([failed, context.req.raw.signal])
      if (name === route.archive) await on.archive(file, signal)
      else if (route.filePrefix !== undefined && name.startsWith(route.filePrefix))
        await on.file(file, name.slice(route.filePrefix.length), signal)
      else if (name === route.file) await on.file(file, '', signal)
      else throw fileUnexpected(name, route)
    },
    mostFiles: route.filePrefix === undefined ? 1 : mostFiles,
  })
}

/** At routes that take more than an archive. */
const mostFiles = 64

interface BodyReceivers {
  archive(file: ReceivedPart, signal: AbortSignal): Promise<void>
  file(file: ReceivedPart, field: string, signal: AbortSignal): Promise<void>
  text(bytes: Buffer): void
  stream(body: Readable): void
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
export function bearerToken(authorization: string | undefined): string | undefined {
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
          (route.archive ?? route.file) === undefined
            ? `${route.path} takes no file.`
            : `The file that ${route.path} takes is named ${route.archive ?? route.file}.`,
      })
}
