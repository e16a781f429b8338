import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { WebSocket } from 'ws'
import { ApiError, errorOfStatus, statusIn, type WireStatus } from './api-errors.ts'
import type { Cluster } from './cluster.ts'
import { openSocket } from './open-socket.ts'

/** A program for a container that runs. */
export interface ExecCommand {
  readonly pod: string
  readonly container: string
  /** Program and arguments; no shell reads them unless the program is one. */
  readonly argv: readonly string[]
  /**
   * What the program reads from its standard input, which does NOT end on servers before 1.30: the program must count, as
   * `head -c LENGTH` does, and read all of it, also when it fails: containerd 1.6 tells no end while input waits. A stream
   * is destroyed at the end.
   */
  readonly stdin?: string | Readable | undefined
  /** Where standard output goes, no faster than it takes it; ended or destroyed at the end. Absent: into the result. */
  readonly output?: Writable | undefined
  /**
   * The program prints something at once, whatever it needs then: nothing for so long is an error. An API server that has
   * just come back may open a connection that leads nowhere.
   */
  readonly firstMs?: number | undefined
  /** Nothing going either way for so long is an error. Default: 60 s. */
  readonly silenceMs?: number | undefined
}

export interface ExecResult {
  readonly exitCode: number
  /** At most 1 MiB; more is an error. Empty where there is an `output`. */
  readonly stdout: string
  /** The last 64 KiB. */
  readonly stderr: string
}

const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const
/** How long programs may take that print something at once. */
export const promptMs = 20_000
const stdinPartBytes = 64 * 1024
const toldCharacters = 500
const keptErrorBytes = 64 * 1024
const mostTextBytes = 2 ** 20
/** How much may wait for a slow output. */
const waitingBytes = 256 * 1024

/**
 * Runs a program in a container to its end. Throws ApiError where the server or the container's runtime refuses, the
 * connection is cut or nothing moves for too long: then nobody knows what the program did, and it may still run. A cut
 * is never taken for an end. How the messages look: kubernetes, pkg/kubelet/cri/streaming/remotecommand/websocket.go.
 */
export async function execInPod(
  cluster: Cluster,
  command: ExecCommand,
  signal: AbortSignal,
): Promise<ExecResult> {
  const { stdin, output } = command
  try {
    const namespace = await cluster.namespace(signal)
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(command.pod)}/exec`
    const query = {
      container: command.container,
      command: command.argv,
      stdin: stdin !== undefined,
      stdout: true,
      stderr: true,
      tty: false,
    }
    const socket = await openSocket(cluster.connection, { path, query }, signal)
    return await converse(socket, command, cluster.connection.address, signal)
  } catch (error) {
    // Nobody else would end these when nothing was begun.
    output?.on('error', ignore).destroy()
    throw error
  } finally {
    if (stdin instanceof Readable) stdin.on('error', ignore).destroy()
  }
}

async function converse(
  socket: WebSocket,
  { stdin, output, container, pod, silenceMs = 60_000, firstMs }: ExecCommand,
  address: string,
  signal: AbortSignal,
): Promise<ExecResult> {
  const place = `the container ${container} of the pod ${pod}`
  const failure = Promise.withResolvers<never>()
  const closed = Promise.withResolvers<void>()
  const abort = (): void => failure.reject(signal.reason)
  const stderr = keepTail()
  let isHeld = false
  const silence = setTimeout(() => {
    // A slow output is not the server's fault.
    if (isHeld) silence.refresh()
    else failure.reject(silenceError(address, place, silenceMs, stderr.text()))
  }, silenceMs)
  const first =
    firstMs === undefined
      ? undefined
      : setTimeout(() => failure.reject(silenceError(address, place, firstMs, '')), firstMs)
  let status: WireStatus | undefined

  const out = new Readable({
    highWaterMark: waitingBytes,
    read: () => {
      isHeld = false
      silence.refresh()
      socket.resume()
    },
  })
  socket.on('message', (data) => {
    silence.refresh()
    // The server itself begins with empty messages, one for each channel.
    if (data.length > 1) clearTimeout(first)
    const rest = data.subarray(1)
    if (data[0] === channels.stdout && rest.length > 0) {
      isHeld = !out.push(rest)
      if (isHeld) socket.pause()
    } else if (data[0] === channels.stderr) stderr.add(rest)
    else if (data[0] === channels.status && rest.length > 0) {
      status ??= statusIn(rest.toString('utf8')) ?? { status: 'Failure', message: rest.toString('utf8') }
      socket.close(1000)
    }
  })
  socket.once('close', () => {
    // What was read before the end is still on its way to the output.
    if (status === undefined) failure.reject(cutError(address, place, stderr.text()))
    else {
      out.push(null)
      closed.resolve()
    }
  })
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const sunk = output === undefined ? textOf(out, place) : pipeline(out, output).then(() => '')
  const fed = stdin === undefined ? undefined : feed(socket, stdin, () => silence.refresh())
  fed?.catch(failure.reject)
  try {
    const [text] = await Promise.race([Promise.all([sunk, closed.promise]), failure.promise])
    return { exitCode: exitCodeIn(status, place), stdout: text, stderr: stderr.text() }
  } catch (error) {
    out.destroy()
    await Promise.allSettled([sunk])
    throw error
  } finally {
    clearTimeout(silence)
    clearTimeout(first)
    signal.removeEventListener('abort', abort)
    socket.terminate()
  }
}

/** Sends until the stream ends or nobody listens any more: an end of the connection is told by its own event. */
async function feed(socket: WebSocket, stdin: string | Readable, moved: () => void): Promise<void> {
  const parts = typeof stdin === 'string' ? [stdin] : (stdin as AsyncIterable<Buffer | string>)
  for await (const part of parts) {
    const bytes = Buffer.from(part as Buffer)
    for (let from = 0; from < bytes.length; from += stdinPartBytes) {
      if (!(await send(socket, channels.stdin, bytes.subarray(from, from + stdinPartBytes)))) return
      moved()
    }
  }
  if (socket.protocol === 'v5.channel.k8s.io') await send(socket, channels.close, Buffer.of(channels.stdin))
}

/** Whether it is on its way. */
function send(socket: WebSocket, channel: number, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    socket.send(Buffer.concat([Buffer.of(channel), bytes]), (error) =>
      resolve(error === undefined || error === null),
    )
  })
}

async function textOf(out: Readable, place: string): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of out as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > mostTextBytes)
      throw new ApiError({
        status: 0,
        reason: 'Unreadable',
        message: `A program in ${place} printed more than ${mostTextBytes} bytes.`,
      })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function keepTail(): { add(chunk: Buffer): void; text(): string } {
  let kept = Buffer.alloc(0)
  return {
    add: (chunk) => {
      kept = Buffer.concat([kept, chunk]).subarray(-keptErrorBytes)
    },
    text: () => kept.toString('utf8'),
  }
}

function exitCodeIn(status: WireStatus | undefined, place: string): number {
  if (status?.status === 'Success') return 0
  const told = status?.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message
  if (status?.reason === 'NonZeroExitCode' && told !== undefined && /^\d+$/.test(told)) return Number(told)
  const { status: code, reason, message, details } = errorOfStatus(status ?? {})
  throw new ApiError({
    status: code,
    reason,
    details,
    message: `In ${place} the program could not be run: ${message}`,
  })
}

function cutError(address: string, place: string, stderr: string): ApiError {
  return new ApiError({
    status: 0,
    reason: 'Unreachable',
    message: `${address} cut the connection to ${place} before it told how the program there ended.${lastWords(stderr)}`,
  })
}

function silenceError(address: string, place: string, silenceMs: number, stderr: string): ApiError {
  return new ApiError({
    status: 0,
    reason: 'TimedOut',
    message: `Nothing came from ${place} by ${address} for ${silenceMs / 1000} s, and no end of the program there.${lastWords(stderr)}`,
  })
}

/** Why it may have gone wrong: a program that ends before its input does is not told of by containerd 1.6. */
function lastWords(stderr: string): string {
  const words = stderr.trim().slice(-toldCharacters)
  return words === '' ? '' : ` Its last words: ${words}`
}

function ignore(): void {}
