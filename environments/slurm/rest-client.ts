import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import { EnvironmentError } from '../../src/environment/environment.ts'
import { messageOf } from '../../src/problem.ts'

/** Where slurmrestd listens, and as whom it is spoken to. */
export interface RestAddress {
  /** `http://host:6820`, or https. With a socket only its path matters. */
  readonly url: string
  /** Absolute path of a unix socket on the server's own computer. */
  readonly socket?: string
  readonly user?: string
  /** A token of Slurm (JWT). A unix socket may do without. */
  readonly token?: string
}

export interface RestAnswer {
  readonly status: number
  /** Undefined where the answer is no JSON. */
  readonly body: unknown
  readonly text: string
}

const timeoutMs = 30_000
/** Slurm spends 3 kB on a job: enough for a list of 80,000. */
const answerBytesAtMost = 256 * 2 ** 20

/**
 * Asks slurmrestd, and once more where it resets the connection: slurmrestd 22.05 does so now and then on a busy
 * machine. A submission is sent once, for it may have been taken. Throws EnvironmentError when slurmrestd cannot be
 * reached, is silent for 30 s or says too much.
 */
export async function askSlurmrestd(
  address: RestAddress,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  content: unknown,
  signal: AbortSignal,
): Promise<RestAnswer> {
  try {
    return await askOnce(address, method, path, content, signal)
  } catch (error) {
    if (method === 'POST' || !isReset(error)) throw error
    return await askOnce(address, method, path, content, signal)
  }
}

async function askOnce(
  address: RestAddress,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  content: unknown,
  signal: AbortSignal,
): Promise<RestAnswer> {
  signal.throwIfAborted()
  const text = content === undefined ? undefined : JSON.stringify(content)
  const headers: Record<string, string> = {
    accept: 'application/json',
    ...(address.user !== undefined && { 'X-SLURM-USER-NAME': address.user }),
    ...(address.token !== undefined && { 'X-SLURM-USER-TOKEN': address.token }),
    ...(text !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    }),
  }
  const options: RequestOptions = {
    method,
    // A kept connection may be closed by slurmrestd just when the next request goes out.
    agent: false,
    headers,
    // A time-out of its own: an aborted caller and a silent daemon are told apart.
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    ...(address.socket !== undefined && { socketPath: address.socket }),
  }
  const place = address.socket ?? address.url
  try {
    const response = await send(new URL(path, address.url), options, text)
    const said = await readText(response)
    return { status: response.statusCode ?? 0, text: said, body: parsed(said) }
  } catch (error) {
    signal.throwIfAborted()
    const message = messageOf(error)
    throw new EnvironmentError(`slurmrestd at ${place} cannot be asked: ${message}`, { cause: error })
  }
}

function isReset(error: unknown): boolean {
  const cause = error instanceof EnvironmentError ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNRESET'
}

function send(url: URL, options: RequestOptions, text: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, resolve)
    request.on('error', reject)
    request.end(text)
  })
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > answerBytesAtMost) throw new Error(`its answer is longer than ${answerBytesAtMost} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
