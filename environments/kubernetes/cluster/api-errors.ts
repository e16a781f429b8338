import { z } from 'zod'
import { blankSecrets } from '../../../src/environment/conceal-secrets.ts'
import { messageOf } from '../../../src/problem.ts'

/**
 * Why the API server did not do what it was asked to. `message` is its own sentence, or one about the way to it. It
 * tells no secrets.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** Of HTTP; 0 where no answer came: then nobody knows whether it was done. */
  readonly status: number
  /** Kubernetes' own word, such as `AlreadyExists`; `Unreachable`, `TimedOut` or `Unreadable` are ours. */
  readonly reason: string
  /** What the server asks to wait for before the next try. */
  readonly retryAfterMs: number | undefined
  /** What the server adds: causes, name and kind. */
  readonly details: ApiErrorDetails | undefined

  constructor(
    telling: {
      readonly status: number
      readonly reason: string
      readonly message: string
      readonly retryAfterMs?: number | undefined
      readonly details?: ApiErrorDetails | undefined
    },
    cause?: unknown,
  ) {
    super(telling.message, cause === undefined ? undefined : { cause })
    this.status = telling.status
    this.reason = telling.reason
    this.retryAfterMs = telling.retryAfterMs
    this.details = telling.details
  }
}

const detailsShape = z.looseObject({
  name: z.string().optional(),
  kind: z.string().optional(),
  retryAfterSeconds: z.number().nonnegative().optional(),
  causes: z
    .array(
      z.looseObject({
        reason: z.string().optional(),
        message: z.string().optional(),
        field: z.string().optional(),
      }),
    )
    .optional(),
})
export type ApiErrorDetails = z.infer<typeof detailsShape>

/** Kubernetes' `Status`, as answers, watches and `exec` carry it. */
export const statusShape = z.looseObject({
  kind: z.literal('Status').optional(),
  status: z.string().optional(),
  message: z.string().optional(),
  reason: z.string().optional(),
  code: z.number().int().optional(),
  details: detailsShape.nullish(),
})
export type WireStatus = z.infer<typeof statusShape>

const mostWords = 500

/** The error in an answer with a status of 300 or more. */
export function errorOfAnswer(
  answer: { readonly status: number; readonly text: string; readonly retryAfter?: string | undefined },
  address: string,
): ApiError {
  const told = statusIn(answer.text)
  if (told !== undefined) return errorOfStatus(told, answer.status, retryAfterMs(answer.retryAfter))
  const words = answer.text.replaceAll(/\s+/g, ' ').trim().slice(0, mostWords)
  return new ApiError({
    status: answer.status,
    reason: 'Unreadable',
    message:
      `${address} answered HTTP ${answer.status} and not as an API server does` +
      `${words === '' ? '' : `: ${words}`}. Look whether the address leads to a Kubernetes API server.`,
    retryAfterMs: retryAfterMs(answer.retryAfter),
  })
}

/** The error that a `Status` object tells of. */
export function errorOfStatus(told: WireStatus, httpStatus?: number, retryMs?: number): ApiError {
  const status = told.code ?? httpStatus ?? 500
  const seconds = told.details?.retryAfterSeconds
  return new ApiError({
    status,
    reason: told.reason ?? `HTTP ${status}`,
    message: (told.message ?? told.reason ?? `HTTP ${status}`).slice(0, 4 * mostWords),
    retryAfterMs: retryMs ?? (seconds === undefined || seconds === 0 ? undefined : seconds * 1000),
    details: told.details ?? undefined,
  })
}

/** The `Status` that a text is; undefined where it is something else. */
export function statusIn(text: string): WireStatus | undefined {
  try {
    const read = statusShape.safeParse(JSON.parse(text))
    return read.success && (read.data.kind === 'Status' || read.data.status !== undefined)
      ? read.data
      : undefined
  } catch {
    return undefined
  }
}

/** `Retry-After` in seconds; API servers send no dates there. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,6}$/.test(header.trim())) return undefined
  return Number(header) * 1000
}

/** The error for a call that got no answer, with what to look at. */
export function errorOfNetwork(error: unknown, address: string, secrets: readonly string[] = []): ApiError {
  if (error instanceof ApiError) return error
  const { code, message } = innermost(error)
  const timedOut = code.includes('TIMEOUT') || code === 'ETIMEDOUT'
  const telling = {
    status: 0,
    reason: timedOut ? 'TimedOut' : 'Unreachable',
    message: `${address} ${sentenceOf(code, message)}`,
  }
  return blankSecrets(new ApiError(telling, error), secrets)
}

/** The error for a call that got no answer in time. */
export function errorOfSilence(address: string, limitMs: number): ApiError {
  return new ApiError({
    status: 0,
    reason: 'TimedOut',
    message:
      `${address} said nothing for ${limitMs / 1000} s. ` +
      'Look whether the API server is overloaded, and whether a firewall holds the connection.',
  })
}

const lookAtServer = 'Look whether the API server runs and whether the port is right.'
const lookAtAuthority = "Give the cluster's own certificate authority."

function sentenceOf(code: string, message: string): string {
  switch (code) {
    case 'ECONNREFUSED':
      return `takes no connections (${code}). ${lookAtServer}`
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return `cut the connection (${message}). ${lookAtServer}`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
      return `has a name that cannot be resolved (${code}). Look at the name, and at this computer's DNS.`
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
      return `cannot be reached from here (${code}). Look at routes, VPN and firewalls.`
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return `does not take the connection in time (${code}). Look at routes, VPN and firewalls.`
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return `went silent in the middle (${code}). Look whether the API server is overloaded.`
    case 'CERT_HAS_EXPIRED':
      return 'shows a certificate that is over (CERT_HAS_EXPIRED). It must be renewed in the cluster; look at the clocks too.'
    case 'CERT_NOT_YET_VALID':
      return 'shows a certificate that is not valid yet (CERT_NOT_YET_VALID). Look at the clocks.'
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'CERT_SIGNATURE_FAILURE':
      return `shows a certificate that the given authority did not sign (${code}). ${lookAtAuthority}`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `shows a certificate for other names (${message}). Use one of these names, or set tls-server-name.`
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return `does not speak TLS (${message}). Look whether the port is the API server's.`
    default:
      if (code.startsWith('HPE_')) return `does not speak HTTP (${code}). ${lookAtServer}`
      return `cannot be asked: ${message.slice(0, mostWords)}${code === '' ? '' : ` (${code})`}`
  }
}

/** What lies at the bottom of wrapped errors: undici and Node wrap, and put the tries for several addresses together. */
function innermost(error: unknown): { readonly code: string; readonly message: string } {
  let inner: unknown = error
  for (let level = 0; level < 8; level += 1) {
    if (inner instanceof AggregateError && inner.errors.length > 0) inner = inner.errors[0]
    else if (inner instanceof Error && inner.cause instanceof Error && codeOf(inner) === '')
      inner = inner.cause
    else break
  }
  const message = messageOf(inner)
  return { code: codeOf(inner), message: message.replaceAll(/\s+/g, ' ').trim() }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
