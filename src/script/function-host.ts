import { noIsolation, type BoxView, type Isolation } from '../isolation/isolation.ts'
import { encodeJson, decodeJson } from '../workflow/context.ts'
import type { Json } from '../workflow/value.ts'
import type { FunctionCall, FunctionHost, FunctionOutcome, ScriptSource } from './contract.ts'
import type { FromHost } from './host-messages.ts'
import { startHostProcess, type HostProcess } from './host-process.ts'

export interface FunctionHostOptions {
  /** How many batches run at the same time. */
  readonly threads: number
  /** Memory of the process, shared among its threads. */
  readonly memoryBytes?: number
  /** The server's environment variables; only harmless ones are handed on. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** What keeps functions apart from the server; nothing but their own process without. */
  readonly isolation?: Isolation
  /** What functions see from their box. The work directory must be among it. */
  readonly view?: BoxView
  /** What functions write to the console, in order. Reading goes on when it returns. */
  readonly onOutput: (text: string) => void
  readonly warn: (message: string) => void
  /** Told when the process has ended by itself; it is started again when it is needed. */
  readonly lost?: () => void
}

interface Batch {
  readonly id: number
  readonly functionName: string
  readonly calls: readonly FunctionCall[]
  readonly timeoutMs: number | null
  readonly outcomes: FunctionOutcome[]
  isAborted: boolean
  resolve(outcomes: readonly FunctionOutcome[]): void
  reject(reason: unknown): void
}

/**
 * The functions of one script, in a process of their own that starts at the first call and again after it has died.
 * Calls that were running when it died are made again one by one, alone; the one that takes it down again has crashed.
 * So in that rare case a function may run twice.
 */
export function startFunctionHost(source: ScriptSource, options: FunctionHostOptions): FunctionHost {
  return new Host(source, options)
}

// One more than there are threads, so that a thread finds its next batch when it has finished one.
const batchesAhead = 1
const nothingBoxed: BoxView = { base: 'computer', readOnly: [], readWrite: [], network: true }

class Host implements FunctionHost {
  readonly parallelism: number
  readonly #source: ScriptSource
  readonly #options: FunctionHostOptions
  #process: HostProcess | undefined
  #starting: Promise<void> | undefined
  #isReady = false
  #isClosed = false
  #lastId = 0
  /** Not yet handed to the process. */
  readonly #waiting: Batch[] = []
  /** Handed to the process. A batch that was aborted stays until the process has let go of it. */
  readonly #running = new Map<number, Batch>()
  /** Ran when the process died; they go alone, call by call. */
  readonly #suspects: Batch[] = []
  #alone: Batch | undefined

  constructor(source: ScriptSource, options: FunctionHostOptions) {
    this.parallelism = options.threads
    this.#source = source
    this.#options = options
  }

  async call(
    functionName: string,
    calls: readonly FunctionCall[],
    { timeoutMs, signal }: { readonly timeoutMs: number | null; readonly signal: AbortSignal },
  ): Promise<readonly FunctionOutcome[]> {
    signal.throwIfAborted()
    if (this.#isClosed) throw new Error('The function host was closed.')
    if (calls.length === 0) return []
    const { promise, resolve, reject } = Promise.withResolvers<readonly FunctionOutcome[]>()
    this.#lastId += 1
    const id = this.#lastId
    const batch: Batch = {
      id,
      functionName,
      calls,
      timeoutMs,
      outcomes: [],
      isAborted: false,
      resolve,
      reject,
    }
    const onAbort = (): void => this.#abort(batch, signal.reason)
    signal.addEventListener('abort', onAbort)
    this.#waiting.push(batch)
    this.#pump()
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#rejectAll(new Error('The function host was closed.'))
    await this.#starting
    await this.#process?.end()
    this.#process = undefined
  }

  /** Hands on as much as the process should hold. */
  #pump(): void {
    if (this.#isClosed || (this.#waiting.length === 0 && this.#suspects.length === 0)) return
    if (this.#process === undefined) {
      this.#starting ??= this.#start()
      return
    }
    if (this.#suspects.length > 0 || this.#alone !== undefined) {
      if (this.#running.size > 0) return
      const suspect = this.#suspects[0]
      if (suspect === undefined) return
      this.#alone = suspect
      this.#send(suspect, suspect.outcomes.length + 1)
      return
    }
    while (this.#running.size < this.parallelism + batchesAhead) {
      const batch = this.#waiting.shift()
      if (batch === undefined) return
      this.#send(batch, batch.calls.length)
    }
  }

  async #start(): Promise<void> {
    try {
      this.#isReady = false
      const { threads, memoryBytes = null, environment = {}, isolation = noIsolation } = this.#options
      const { view = nothingBoxed } = this.#options
      const events = {
        onMessage: (message: FromHost, body: Buffer) => this.#take(message, body),
        onOutput: this.#options.onOutput,
        onEnd: (how: string, errors: string) => this.#onEnd(how, errors),
      }
      this.#process = await startHostProcess(
        this.#source,
        { threads, memoryBytes, environment, isolation, view },
        events,
      )
    } catch (error) {
      this.#rejectAll(error)
    } finally {
      this.#starting = undefined
    }
    this.#pump()
  }

  #send(batch: Batch, end: number): void {
    const calls = batch.calls.slice(batch.outcomes.length, end)
    this.#running.set(batch.id, batch)
    this.#process?.send(
      {
        kind: 'run',
        batch: batch.id,
        functionName: batch.functionName,
        count: calls.length,
        timeoutMs: batch.timeoutMs,
      },
      Buffer.from(encodeJson(calls as unknown as Json)),
    )
  }

  #take(message: FromHost, body: Buffer): void {
    switch (message.kind) {
      case 'ready':
        this.#isReady = true
        return
      case 'warning':
        this.#options.warn(`Function host: ${message.message}`)
        return
      case 'outcomes':
        this.#running.get(message.batch)?.outcomes.push(...readOutcomes(body))
        return
      case 'done': {
        const batch = this.#running.get(message.batch)
        this.#running.delete(message.batch)
        if (batch !== undefined) this.#finish(batch)
        this.#pump()
      }
    }
  }

  /** A part of the batch has ended: the whole of it, or one call made alone. */
  #finish(batch: Batch): void {
    const isWhole = batch.outcomes.length >= batch.calls.length
    if (this.#alone === batch) {
      this.#alone = undefined
      if (isWhole) remove(this.#suspects, batch)
    }
    if (isWhole) batch.resolve(batch.outcomes)
    else if (!this.#suspects.includes(batch))
      batch.reject(
        new Error(`The function host gave ${batch.outcomes.length} of ${batch.calls.length} outcomes.`),
      )
  }

  #onEnd(how: string, errors: string): void {
    this.#process = undefined
    if (!this.#isReady) {
      this.#running.clear()
      this.#rejectAll(new Error(`The process for the script's functions ${how}. ${errors}`.trim()))
      return
    }
    this.#options.lost?.()
    const reason = errors.split('\n', 1)[0] ?? ''
    this.#options.warn(
      `The process of a script's functions ${how}; it is started again when it is needed. ${reason}`.trim(),
    )
    const ended = [...this.#running.values()].filter(({ isAborted }) => !isAborted)
    this.#running.clear()
    if (this.#alone === undefined) this.#suspects.push(...ended)
    else {
      const what = /out of memory|bad_alloc/i.test(errors)
        ? 'used up its memory'
        : `took its process down, which ${how}`
      this.#alone.outcomes.push({ kind: 'crashed', message: `The function ${what}.` })
      this.#finish(this.#alone)
    }
    this.#pump()
  }

  #abort(batch: Batch, reason: unknown): void {
    batch.isAborted = true
    batch.reject(reason)
    remove(this.#waiting, batch)
    remove(this.#suspects, batch)
    if (this.#running.has(batch.id)) this.#process?.send({ kind: 'abort', batch: batch.id })
  }

  #rejectAll(reason: unknown): void {
    const batches = [...this.#waiting.splice(0), ...this.#suspects.splice(0), ...this.#running.values()]
    this.#running.clear()
    this.#alone = undefined
    for (const batch of batches) batch.reject(reason)
  }
}

function remove(list: Batch[], batch: Batch): void {
  const at = list.indexOf(batch)
  if (at >= 0) list.splice(at, 1)
}

/** User code shares the threads that make this text, so it may hold anything. */
function readOutcomes(text: Buffer): FunctionOutcome[] {
  const list = decodeJson(`[${text.toString('utf8', 0, text.length - 1)}]`)
  if (!Array.isArray(list)) throw new TypeError('Expected outcomes of calls.')
  return list.map((outcome: Json) => readOutcome(outcome))
}

function readOutcome(outcome: Json): FunctionOutcome {
  if (typeof outcome === 'object' && outcome !== null && 'kind' in outcome) {
    const { kind, result, message, stack = '' } = outcome
    if (kind === 'returned') return { kind, result }
    if (kind === 'threw' && typeof message === 'string' && typeof stack === 'string')
      return { kind, message, stack }
    if ((kind === 'timeout' || kind === 'crashed') && typeof message === 'string') return { kind, message }
  }
  throw new TypeError('Expected the outcome of a call.')
}
