import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { realpath } from 'node:fs/promises'
import { Duplex, type Readable } from 'node:stream'
import { programEnd, type ProgramEnd } from '../isolation/box-end.ts'
import type { BoxView, Isolation } from '../isolation/isolation.ts'
import type { ScriptSource } from './contract.ts'
import { readFrames, sendFrame } from './frames.ts'
import { fromHost, type FromHost, type ToHost } from './host-messages.ts'
import { endGroup, spawnNode } from './spawn-node.ts'
import { messageOf } from '../problem.ts'

/** One process of a function host, from its start to its end. */
export interface HostProcess {
  send(message: ToHost, body?: Uint8Array): void
  /** Ends the process and all it has started. Resolves when they are gone and their output was handed on. */
  end(): Promise<void>
}

export interface HostProcessEvents {
  onMessage(message: FromHost, body: Buffer): void
  /** Console output of functions. */
  onOutput(text: string): void
  /** The process has ended by itself. `how` continues "the process ended ..."; `errors` is the last it printed. */
  onEnd(how: string, errors: string): void
}

const errorsKept = 4096
/** How long the pipes of a killed process may stay open. */
const pipesGraceMs = 5000
/** Threads and what functions start. */
const processesAtMost = 4096
const lastWords = /^(?:#\n# Fatal|<--- Last few GCs|FATAL ERROR|----- Native stack trace|Function host: )/m

/** Starts the process and tells it what it is for. Messages may be sent at once. */
export async function startHostProcess(
  source: ScriptSource,
  options: {
    readonly threads: number
    readonly memoryBytes: number | null
    readonly environment: Readonly<Record<string, string | undefined>>
    readonly isolation: Isolation
    readonly view: BoxView
  },
  events: HostProcessEvents,
): Promise<HostProcess> {
  const workDirectory = await realpath(source.workDirectory)
  const child = spawnNode({
    module: 'function-host-child',
    args: [],
    nodeOptions: [],
    workDirectory,
    limits: { processes: processesAtMost },
    isolation: options.isolation,
    view: { ...options.view, readOnly: [source.modulesDirectory, ...options.view.readOnly] },
    environment: options.environment,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  let isEnding = false
  let isDying = false
  let errors = ''
  // Reads on only when the text was taken, so a function that writes without end waits and nothing piles up.
  listen(child.stdout, (text) => events.onOutput(text))
  listen(child.stderr, (text) => {
    errors = (errors + text).slice(-errorsKept)
    // Programs that functions start write here, and so does Node when it dies, which is no output of the script.
    isDying ||= lastWords.test(text)
    if (!isDying) events.onOutput(text)
  })
  const channel = child.stdio[3]
  if (!(channel instanceof Duplex))
    throw new Error(`The process ${source.script} runs in could not be started.`)
  channel.on('error', () => undefined)
  readFrames(
    channel,
    ({ head, body }) => events.onMessage(fromHost.parse(head), body),
    (error) => {
      errors = `It sent something that cannot be read: ${messageOf(error)}`
      endGroup(child)
    },
  )
  child.on('error', (error) => {
    errors = (errors + error.message).slice(-errorsKept)
  })
  const closed = once(child, 'close').catch(() => undefined)
  child.once('exit', () => endGroup(child))
  child.once('close', (code, signal) => {
    if (!isEnding)
      events.onEnd(describeEnd(child, programEnd(options.isolation, code, signal)), errors.trim())
  })
  const { threads, memoryBytes } = options
  send({ kind: 'start', source: { ...source, workDirectory }, threads, memoryBytes })
  return { send, end }

  function send(message: ToHost, body?: Uint8Array): void {
    // What fails to arrive is noticed by the end of the process.
    if (channel instanceof Duplex) sendFrame(channel, message, body)
  }

  async function end(): Promise<void> {
    isEnding = true
    endGroup(child)
    // Whoever else holds the pipes of a killed process, nobody waits for them.
    const letGo = setTimeout(() => {
      for (const stream of child.stdio) stream?.destroy()
    }, pipesGraceMs)
    await closed
    clearTimeout(letGo)
  }
}

function listen(stream: Readable | null, onText: (text: string) => void): void {
  stream?.setEncoding('utf8')
  stream?.on('error', () => undefined)
  stream?.on('data', onText)
}

function describeEnd(child: ChildProcess, { code, signal }: ProgramEnd): string {
  if (child.pid === undefined) return 'could not be started'
  return signal === null ? `ended with exit code ${code ?? '?'}` : `was ended by signal ${signal}`
}
