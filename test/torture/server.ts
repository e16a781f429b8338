import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tarGzip } from '../helpers/tar.ts'
import { untilTrue } from './until.ts'

const program = fileURLToPath(new URL('../../bin/molehill', import.meta.url))
const password = 'correct horse battery staple'
const keptLogCharacters = 200_000
/** On a computer that is busy with other things a start takes its time. */
const startMs = 180_000

const children = new Set<ChildProcess>()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

/** One life of a server. */
export interface Life {
  readonly pid: number
  readonly url: string
  /** From the start of the process until it listens. */
  readonly startMs: number
  log(): string
  isAlive(): boolean
  /**
   * Sends a signal and waits until the process has gone; SIGKILL follows where that takes too long. Gives the time it
   * took.
   */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<Ending>
}

export interface Ending {
  readonly ms: number
  /** Null after a signal. */
  readonly exitCode: number | null
}

/** How a server is started, where it is not as usual. */
export interface LifeOptions {
  readonly flags?: readonly string[]
  /** Added to the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>
  /** A program and its words that start the server in their own place, such as prlimit. */
  readonly within?: readonly string[]
}

/** How long a server that is asked to stop may take: its default time limit. */
export const stopLimitMs = 10_000

/**
 * Starts `molehill serve` for a data directory, on a free port of this computer. Its password lies in a file beside
 * the directory, so that the directory may be a small disk.
 */
export async function startLife(
  dataDirectory: string,
  { flags = [], environment = {}, within = [] }: LifeOptions = {},
): Promise<Life> {
  const passwordFile = `${dataDirectory}.password`
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  const paths = ['--data-directory', dataDirectory, '--password-file', passwordFile]
  const usual = ['--http', '--port', '0', '--log-format', 'json', '--slots', '2', '--request-rate', '0']
  const began = performance.now()
  const [first = program, ...words] = [...within, program, 'serve', ...usual, ...paths, ...flags]
  const child = spawn(first, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-keptLogCharacters)))
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null
  const address = (): string | undefined => /"address":"([^"]+)"/.exec(log)?.[1]
  await untilTrue('the server listens', () => address() !== undefined || !isAlive(), {
    forMs: startMs,
    everyMs: 5,
  }).catch(async (error: unknown) => {
    await end(child, 'SIGKILL')
    throw new Error(`${String(error)} Its log: ${log.slice(-2000)}`)
  })
  const url = address()
  if (url === undefined) throw new Error(`The server ended before it listened:\n${log}`)
  return {
    pid: child.pid ?? 0,
    url,
    startMs: performance.now() - began,
    log: () => log,
    isAlive,
    end: async (signal) => end(child, signal),
  }
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<Ending> {
  const began = performance.now()
  if (child.exitCode === null && child.signalCode === null) {
    const over = once(child, 'exit')
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), 3 * stopLimitMs)
    await over
    clearTimeout(late)
  }
  return { ms: performance.now() - began, exitCode: child.exitCode }
}

/** What a server answered. */
export interface Answer {
  readonly status: number
  readonly json: Readonly<Record<string, unknown>>
  readonly text: string
}

/** A client that keeps its token from one life of a server to the next. */
export class TortureClient {
  #token = ''

  async login(life: Life): Promise<void> {
    const { status, json, text } = await this.post(life, 'token', { password })
    if (status !== 202) throw new Error(`/token answered ${status}: ${text}`)
    this.#token = String(json['token'])
  }

  get token(): string {
    return this.#token
  }

  /** Throws when the server cannot be reached or does not answer in time. */
  async post(
    life: Life,
    route: string,
    fields: Readonly<Record<string, string>> = {},
    archive?: Blob,
    withinMs = 60_000,
  ): Promise<Answer> {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    if (archive !== undefined) form.set('workDirectory', archive, 'work.tgz')
    const response = await fetch(`${life.url}/${route}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#token}` },
      body: form,
      signal: AbortSignal.timeout(withinMs),
    })
    const text = await response.text()
    const json: unknown = /^[{[]/.test(text) ? JSON.parse(text) : {}
    return { status: response.status, json: json as Answer['json'], text }
  }

  async start(life: Life, archive: Blob): Promise<Answer> {
    return this.post(life, 'start', { script: 'workflow.ts' }, archive)
  }

  async state(life: Life, id: string): Promise<Answer> {
    return this.post(life, 'state', { id })
  }
}

/** A work directory with a script and nothing else. */
export function packScript(script: string): Blob {
  return new Blob([new Uint8Array(tarGzip([{ name: 'workflow.ts', content: script }]))])
}

/** Where an execution of a data directory lies. */
export function executionDirectory(dataDirectory: string, id: string): string {
  return join(dataDirectory, 'executions', id)
}
