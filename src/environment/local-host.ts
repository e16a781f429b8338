import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { EnvironmentError } from './environment.ts'
import type { Host, HostCommand, HostProcess, HostResult } from './host.ts'

type Child = ChildProcessByStdio<Writable, Readable, Readable>

const defaultTimeoutMs = 60_000
const mostOutputBytes = 64 * 1024 ** 2
const keptErrorBytes = 64 * 1024
/** How long pipes may stay open after their program has ended: another program may have inherited them. */
const pipesGraceMs = 2000

export interface LocalHostOptions {
  /** Variables of every program. Not those of the server as they are: programs pass theirs on to jobs. */
  readonly variables: Readonly<Record<string, string>>
  /** False makes files travel as to a computer far away, for tests. */
  readonly sharesFiles?: boolean
}

/** This computer. Each program is a process group of its own, which is killed as a whole. */
export class LocalHost implements Host {
  readonly name = 'this computer'
  readonly sharesFiles: boolean
  readonly #variables: Readonly<Record<string, string>>
  readonly #opened = new Set<Child>()

  constructor(options: LocalHostOptions) {
    this.sharesFiles = options.sharesFiles ?? true
    this.#variables = options.variables
  }

  async run(command: HostCommand, signal: AbortSignal): Promise<HostResult> {
    signal.throwIfAborted()
    const [program = ''] = command.argv
    const child = this.#start(command.argv, command.variables)
    const failure = Promise.withResolvers<never>()
    const fail = (error: unknown): void => failure.reject(error)
    const abort = (): void => fail(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    const timeoutMs = command.timeoutMs ?? defaultTimeoutMs
    const timer = setTimeout(
      () => fail(new EnvironmentError(`${program} did not end on ${this.name} within ${timeoutMs} ms.`)),
      timeoutMs,
    )
    const stderr = keepTail(child.stderr)
    const stdout = command.output === undefined ? keepAll(child.stdout, program, fail) : () => ''
    const flowing: Promise<unknown>[] = [feed(child, command.input, fail)]
    if (command.output !== undefined) flowing.push(pipeline(child.stdout, command.output).catch(fail))
    try {
      const ended = endOf(child)
      const end = await Promise.race([ended, failure.promise])
      await Promise.race([Promise.all(flowing), failure.promise])
      if (end.missing !== undefined)
        return { exitCode: end.missing, stdout: '', stderr: `${program}: ${end.message}` }
      return { exitCode: end.exitCode, stdout: stdout(), stderr: stderr() }
    } catch (error) {
      killGroup(child)
      for (const stream of child.stdio) stream?.destroy()
      throw error
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  }

  async open(argv: readonly string[], signal: AbortSignal): Promise<HostProcess> {
    signal.throwIfAborted()
    const child = this.#start(argv)
    this.#opened.add(child)
    const stderr = keepTail(child.stderr)
    child.stdin.on('error', ignore)
    child.stdout.on('error', ignore)
    const abort = (): void => killGroup(child)
    signal.addEventListener('abort', abort, { once: true })
    const ended = endOf(child).then(({ exitCode, message }) => {
      this.#opened.delete(child)
      signal.removeEventListener('abort', abort)
      return { exitCode, message: [message, stderr().trim()].filter((text) => text !== '').join(' ') }
    })
    return { stdin: child.stdin, stdout: child.stdout, ended }
  }

  async close(): Promise<void> {
    const children = [...this.#opened]
    for (const child of children) killGroup(child)
    await Promise.all(children.map(async (child) => endOf(child)))
  }

  #start([program = '', ...words]: readonly string[], variables: HostCommand['variables'] = {}): Child {
    return spawn(program, words, {
      env: { ...this.#variables, ...variables },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
  }
}

interface End {
  readonly exitCode: number | null
  readonly message: string
  /** What a shell says of a program that cannot be started. */
  readonly missing?: 126 | 127
}

/** Resolves when the program is over and all that it printed was read. */
function endOf(child: Child): Promise<End> {
  return new Promise((resolve) => {
    let spawnError: Error | undefined
    let timer: NodeJS.Timeout | undefined
    child.once('error', (error) => (spawnError = error))
    child.once('exit', () => {
      timer = setTimeout(() => {
        for (const stream of child.stdio) stream?.destroy()
      }, pipesGraceMs)
    })
    const finish = (exitCode: number | null, signalCode: string | null): void => {
      clearTimeout(timer)
      if (spawnError !== undefined) {
        const code = 'code' in spawnError && spawnError.code === 'EACCES' ? 126 : 127
        resolve({ exitCode: code, message: spawnError.message, missing: code })
      } else resolve({ exitCode, message: signalCode === null ? '' : `A signal ended it: ${signalCode}.` })
    }
    if (child.exitCode !== null || child.signalCode !== null) finish(child.exitCode, child.signalCode)
    else child.once('close', finish)
  })
}

async function feed(
  child: Child,
  input: HostCommand['input'],
  fail: (error: unknown) => void,
): Promise<void> {
  // A program may end without reading: its exit code tells what that means.
  child.stdin.on('error', ignore)
  if (input === undefined || typeof input === 'string') {
    child.stdin.end(input ?? '')
    return
  }
  try {
    await pipeline(input, child.stdin)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code !== 'EPIPE' && code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ECONNRESET') fail(error)
  }
}

function keepAll(stream: Readable, program: string, fail: (error: unknown) => void): () => string {
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('error', ignore)
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= mostOutputBytes) chunks.push(chunk)
    else fail(new EnvironmentError(`${program} printed more than ${mostOutputBytes} bytes.`))
  })
  return () => Buffer.concat(chunks).toString()
}

function keepTail(stream: Readable): () => string {
  let tail = Buffer.alloc(0)
  stream.on('error', ignore)
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-keptErrorBytes)
  })
  return () => tail.toString()
}

function killGroup({ pid, exitCode, signalCode }: Child): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

function ignore(): void {
  // The end of the program tells what came of it.
}
