import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { Agent, buildConnector, type Dispatcher } from 'undici'
import { blankSecrets } from '../../../src/environment/conceal-secrets.ts'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import type { Access } from './access.ts'
import { ApiError, errorOfAnswer, errorOfNetwork, errorOfSilence } from './api-errors.ts'
import type { Credentials } from './credentials.ts'
import { limited, orAborted } from './limited.ts'

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** `/api/v1/namespaces/jobs/pods`: each part encoded already. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>
  readonly body?: unknown
  /** Of the body. Default: JSON. */
  readonly contentType?: string
}

export interface ConnectionOptions {
  /** In ms since 1970. */
  readonly now: () => number
  /** For an answer as a whole, and for the head of a stream. Default: 30 s. */
  readonly timeoutMs?: number
  /** Connections for calls. Default: 16. */
  readonly connections?: number
  /** Connections for watches and logs; more than these wait. Default: 64. */
  readonly streams?: number
}

const answerBytesAtMost = 256 * 2 ** 20
const connectMs = 10_000
const keepAliveMs = 30_000
/** How often a server is asked that says it is too busy. */
const mostTries = 5

/**
 * The way to one API server: calls share a bounded pool of connections, streams another one, so that many of these hold
 * up no call. Every failure is an ApiError, or an EnvironmentError where the credentials cannot be read; an aborted
 * call throws the signal's reason.
 */
export class Connection {
  readonly #credentials: Credentials
  readonly #options: ConnectionOptions
  readonly #timeoutMs: number
  readonly #life = new AbortController()
  readonly #agents = new Set<Agent>()
  readonly #sockets = new Set<Socket>()
  #access: Access | undefined
  #reading: Promise<Access> | undefined
  #calls: Agent | undefined
  #streams: Agent | undefined
  readonly #secrets = new Set<string>()

  constructor(credentials: Credentials, options: ConnectionOptions) {
    this.#credentials = credentials
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? 30_000
  }

  /** For people: the server's address, once it is known. */
  get address(): string {
    return this.#access?.server ?? this.#credentials.told
  }

  /** How to reach the server now; read again when it is stale, or when the server refused `refused`. */
  async access(signal: AbortSignal, refused?: Access): Promise<Access> {
    const access = this.#access
    const isGood = access !== undefined && access !== refused && !this.#isStale(access)
    this.#mustBeOpen()
    return isGood ? access : orAborted(this.#read(), signal)
  }

  /** The JSON of the answer. A server that asks to wait for a moment is asked again after it: it has done nothing yet. */
  async ask(request: ApiRequest, signal: AbortSignal): Promise<unknown> {
    const limit = limited(signal, this.#timeoutMs)
    try {
      for (let tries = 1; ; tries += 1)
        try {
          const { body } = await this.#sendTwice(request, 'calls', undefined, limit.signal)
          return parsed(await body.text(), this.address)
        } catch (error) {
          const waitMs = error instanceof ApiError && error.status === 429 ? error.retryAfterMs : undefined
          if (waitMs === undefined || waitMs * 2 > this.#timeoutMs || tries >= mostTries) throw error
          await pause(waitMs, undefined, { signal: limit.signal })
        }
    } catch (error) {
      throw this.explain(error, signal, limit.isOver())
    } finally {
      limit.done()
    }
  }

  /**
   * The body of the answer, as it comes. It fails when nothing comes for `silenceMs`; give what it fails with to
   * `explain`. Whoever takes it destroys it.
   */
  async open(request: ApiRequest, silenceMs: number, signal: AbortSignal): Promise<Readable> {
    const limit = limited(signal, this.#timeoutMs)
    try {
      const { body } = await this.#sendTwice(request, 'streams', silenceMs, limit.signal)
      const abort = (): void => void body.destroy()
      // The limit ends with the head; the signal must go on to end the body.
      signal.addEventListener('abort', abort, { once: true })
      body.once('close', () => signal.removeEventListener('abort', abort))
      if (signal.aborted) abort()
      return body
    } catch (error) {
      throw this.explain(error, signal, limit.isOver())
    } finally {
      limit.done()
    }
  }

  /** What to throw for something that went wrong on the way. */
  explain(error: unknown, signal: AbortSignal, isOver = false): unknown {
    if (signal.aborted) return signal.reason
    const secrets = [...this.#secrets]
    if (error instanceof ApiError || error instanceof EnvironmentError) return blankSecrets(error, secrets)
    if (this.#life.signal.aborted) return closedError(this.address)
    if (isOver) return errorOfSilence(this.address, this.#timeoutMs)
    return errorOfNetwork(error, this.address, secrets)
  }

  /** Drops all connections; what is under way fails. */
  async close(): Promise<void> {
    this.#life.abort(closedError(this.address))
    const ends = [...this.#agents].map((agent) => agent.destroy())
    // undici waits for those that are not connected yet.
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(ends)
    this.#agents.clear()
  }

  /** Once more with fresh credentials where these are refused, and where a kept connection turns out to be dead. */
  async #sendTwice(
    request: ApiRequest,
    pool: 'calls' | 'streams',
    silenceMs: number | undefined,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const access = await this.access(signal)
    try {
      return await this.#send(request, access, pool, silenceMs, signal)
    } catch (error) {
      if (signal.aborted || this.#life.signal.aborted) throw error
      if (error instanceof ApiError && error.status === 401) {
        const fresh = await this.access(signal, access)
        if (fresh === access || isSame(fresh, access)) throw error
        return await this.#send(request, fresh, pool, silenceMs, signal)
      }
      if (request.method !== 'GET' || !isCut(error)) throw error
      return await this.#send(request, access, pool, silenceMs, signal)
    }
  }

  async #send(
    request: ApiRequest,
    access: Access,
    pool: 'calls' | 'streams',
    silenceMs: number | undefined,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const agent = pool === 'calls' ? this.#calls : this.#streams
    if (agent === undefined) throw closedError(access.server)
    const { origin, pathname } = new URL(access.server)
    const body = request.body === undefined ? null : JSON.stringify(request.body)
    const asked = agent.request({
      origin,
      path: `${pathname === '/' ? '' : pathname}${request.path}${queryText(request.query)}`,
      method: request.method,
      headers: {
        accept: 'application/json',
        'user-agent': 'molehill',
        ...access.headers,
        ...(body !== null && { 'content-type': request.contentType ?? 'application/json' }),
      },
      body,
      signal,
      headersTimeout: this.#timeoutMs,
      ...(silenceMs !== undefined && { bodyTimeout: silenceMs }),
    })
    // undici heeds no signal while it connects.
    asked.then((answer) => tend(answer, signal), ignore)
    const answer = await orAborted(asked, signal)
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer
    const text = await answer.body.text()
    const retryAfter = answer.headers['retry-after']
    throw errorOfAnswer(
      {
        status: answer.statusCode,
        text,
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
      },
      access.server,
    )
  }

  #isStale({ staleAtMs }: Access): boolean {
    return staleAtMs !== undefined && staleAtMs <= this.#options.now()
  }

  /** One reading at a time, which no single caller can abort. */
  #read(): Promise<Access> {
    if (this.#reading !== undefined) return this.#reading
    const reading = this.#credentials.read(this.#life.signal).then((access) => this.#use(access))
    const forget = (): void => {
      this.#reading = undefined
    }
    reading.then(forget, forget)
    this.#reading = reading
    return reading
  }

  #use(access: Access): Access {
    this.#mustBeOpen()
    const before = this.#access
    for (const secret of access.secrets) this.#secrets.add(secret)
    if (this.#calls === undefined || JSON.stringify(before?.tls) !== JSON.stringify(access.tls)) {
      this.#retire(this.#calls)
      this.#retire(this.#streams)
      this.#calls = this.#agent(access, this.#options.connections ?? 16, answerBytesAtMost)
      this.#streams = this.#agent(access, this.#options.streams ?? 64, -1)
    }
    this.#access = access
    return access
  }

  #agent({ tls }: Access, connections: number, maxResponseSize: number): Agent {
    const connect = buildConnector({ ...tls, allowH2: false, timeout: connectMs })
    const agent = new Agent({
      connections,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: keepAliveMs,
      maxResponseSize,
      connect: (where, told) => {
        const socket: unknown = connect(where, told)
        if (!(socket instanceof Socket)) return
        this.#sockets.add(socket)
        socket.once('close', () => this.#sockets.delete(socket))
      },
    })
    this.#agents.add(agent)
    return agent
  }

  /** Lets what is under way end. */
  #retire(agent: Agent | undefined): void {
    if (agent === undefined) return
    const forget = (): void => void this.#agents.delete(agent)
    agent.close().then(forget, forget)
  }

  #mustBeOpen(): void {
    if (this.#life.signal.aborted) throw closedError(this.address)
  }
}

function ignore(): void {}

/** A cut may come before anybody reads, and an answer after nobody wants it any more. */
function tend({ body }: Dispatcher.ResponseData, signal: AbortSignal): Readable {
  body.on('error', ignore)
  return signal.aborted ? body.destroy() : body
}

function closedError(address: string): ApiError {
  return new ApiError({
    status: 0,
    reason: 'Unreachable',
    message: `The connection to ${address} is closed.`,
  })
}

function isSame(one: Access, other: Access): boolean {
  const facts = ({ server, headers, tls }: Access): string => JSON.stringify([server, headers, tls])
  return facts(one) === facts(other)
}

function isCut(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}

function parsed(text: string, address: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ApiError(
      {
        status: 0,
        reason: 'Unreadable',
        message: `${address} answered what is no JSON: ${text.slice(0, 200)}`,
      },
      error,
    )
  }
}

/** `?a=1&b=2`, or nothing. A list repeats its name. */
export function queryText(query: ApiRequest['query']): string {
  const words = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined)
      for (const each of Array.isArray(value) ? value : [value]) words.append(name, String(each))
  return words.size === 0 ? '' : `?${words.toString()}`
}
