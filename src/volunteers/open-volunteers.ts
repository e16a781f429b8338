import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { NotYet, Sameness } from '../environment/sameness.ts'
import type { ArchiveComparison, ArchivePair, WorkunitProgress } from '../environment/volunteers.ts'
import { Problem, toProblem } from '../problem.ts'
import type { ProjectStatistics, Volunteers } from './contract.ts'
import type { CallOutcome, ProjectAnswers, ProjectCall, ThreadReply, ThreadRequest } from './project-calls.ts'
import type { ThreadData } from './project-thread.ts'

export interface VolunteersSetup extends ThreadData {
  readonly signatureOf: Volunteers['signatureOf']
  /** Hears what went wrong where nobody waits for an answer. */
  readonly warn: (message: string) => void
}

/** Names or workunits in one call: others, who wait for an answer, wait while it is done. */
const listedAtMost = 50
const pageSize = 200
/** Calls that wait for an answer: more than connections may bring at once. */
const waitingAtMost = 10_000

/**
 * Opens the server's project of volunteers below `directory`, which is there: `project.db` and `uploads`. Throws Problem
 * where it cannot be used.
 */
export async function openVolunteers(setup: VolunteersSetup): Promise<Volunteers> {
  const thread = new ProjectThread(setup)
  await thread.opened
  const { signatureOf } = setup
  return {
    signatureOf,
    exchange: (body) => thread.ask({ kind: 'exchange', text: textOf(body) }),
    async file(workunits) {
      for (const some of chunks(workunits)) await thread.ask({ kind: 'file', workunits: some })
    },
    async progressOf(names) {
      const found = new Map<string, WorkunitProgress>()
      for (const some of chunks(names))
        for (const [name, progress] of await thread.ask({ kind: 'progress', names: some }))
          found.set(name, progress)
      return found
    },
    async cancel(names) {
      for (const some of chunks(names)) await thread.ask({ kind: 'cancel', names: some })
    },
    async remove(names) {
      for (const some of chunks(names)) await thread.ask({ kind: 'remove', names: some })
    },
    watch(changed, signal) {
      if (signal.aborted) return
      thread.watchers.add(changed)
      signal.addEventListener('abort', () => thread.watchers.delete(changed), { once: true })
    },
    compareWith(compare, signal) {
      if (signal.aborted) return
      thread.comparisons.add(compare)
      signal.addEventListener('abort', () => thread.comparisons.delete(compare), { once: true })
    },
    hosts: (limit) => thread.ask({ kind: 'hosts', limit }),
    countRefusals: () => thread.ask({ kind: 'refusals' }),
    downloadOf: (name) => thread.ask({ kind: 'download', name }),
    uploadOf: (name) => thread.ask({ kind: 'upload', name }),
    uploaded: (name, { bytes, md5 }) => thread.ask({ kind: 'uploaded', name, bytes, md5 }),
    async statistics(): Promise<ProjectStatistics> {
      return { users: await thread.all('user-statistics'), hosts: await thread.all('host-statistics') }
    },
    close: () => thread.close(),
  }
}

/** A character for each byte. */
function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
}

function chunks<Item>(items: readonly Item[]): (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / listedAtMost) }, (_, at) =>
    items.slice(at * listedAtMost, (at + 1) * listedAtMost),
  )
}

/** The server's end of the thread: what is asked in one turn goes to it in one message. */
class ProjectThread {
  readonly watchers = new Set<(names: readonly string[]) => void>()
  readonly comparisons = new Set<ArchiveComparison>()
  readonly opened: Promise<void>
  readonly #worker: Worker
  readonly #ended: Promise<void>
  readonly #waiting = new Map<number, (outcome: CallOutcome) => void>()
  readonly #warn: (message: string) => void
  readonly #closing = new AbortController()
  /** What was warned of last: what goes wrong again and again is told once. */
  #warning = ''
  #gathered: ProjectCall[] = []
  #last = 0
  #isClosed = false

  constructor({ directory, settings, accountSecret, warn }: VolunteersSetup) {
    this.#warn = warn
    const workerData: ThreadData = { directory, settings, accountSecret }
    this.#worker = new Worker(new URL(`./project-thread${extname(import.meta.url)}`, import.meta.url), {
      workerData,
      name: 'volunteers',
    })
    const { promise: opened, resolve: open, reject: fail } = Promise.withResolvers<void>()
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    this.opened = opened
    this.#ended = ended
    this.#worker.on('message', (reply: ThreadReply) => {
      if (reply.kind === 'ready') open()
      else if (reply.kind === 'not-opened') fail(problemOf(reply.outcome))
      else this.#hear(reply)
    })
    this.#worker.on('error', (error) => {
      warn(`The project of volunteers has stopped: ${error.message}`)
    })
    this.#worker.on('exit', () => {
      this.#isClosed = true
      fail(stopped())
      for (const resolve of this.#waiting.values()) resolve(stoppedOutcome)
      this.#waiting.clear()
      end()
    })
  }

  async ask<Call extends ProjectCall>(call: Call): Promise<ProjectAnswers[Call['kind']]> {
    if (this.#isClosed) throw stopped()
    if (this.#waiting.size >= waitingAtMost)
      throw new Problem('server-busy', `${waitingAtMost} calls wait for the project of volunteers.`, {
        hint: 'Try again in a minute.',
        retryAfterSeconds: 60,
      })
    const { promise, resolve } = Promise.withResolvers<CallOutcome>()
    if (this.#gathered.length === 0) setImmediate(() => this.#send())
    this.#gathered.push(call)
    this.#waiting.set(this.#last + this.#gathered.length, resolve)
    const outcome = await promise
    if (outcome.kind === 'refused') throw problemOf(outcome)
    return outcome.answer as ProjectAnswers[Call['kind']]
  }

  /** A list that the thread gives page by page. */
  async all<Kind extends 'user-statistics' | 'host-statistics'>(kind: Kind): Promise<ProjectAnswers[Kind]> {
    const rows: { readonly id: number }[] = []
    for (;;) {
      const after = rows.at(-1)?.id ?? 0
      const page = await this.ask({ kind, after, limit: pageSize })
      rows.push(...page)
      if (page.length < pageSize) return rows as unknown as ProjectAnswers[Kind]
    }
  }

  async close(): Promise<void> {
    this.#send()
    this.#isClosed = true
    this.#closing.abort()
    this.#worker.postMessage({ kind: 'close' } satisfies ThreadRequest)
    await this.#ended
  }

  #send(): void {
    const calls = this.#gathered
    if (calls.length === 0) return
    this.#gathered = []
    this.#worker.postMessage({ kind: 'calls', first: this.#last + 1, calls } satisfies ThreadRequest)
    this.#last += calls.length
  }

  async #compare(number: number, pair: ArchivePair): Promise<void> {
    const sameness = await this.#askOf(pair)
    if (!this.#isClosed)
      this.#worker.postMessage({ kind: 'compared', number, sameness } satisfies ThreadRequest)
  }

  async #askOf(pair: ArchivePair): Promise<Sameness | NotYet> {
    const { signal } = this.#closing
    try {
      for (const compare of this.comparisons) {
        const sameness = await compare(pair, signal)
        if (sameness !== undefined) return sameness
      }
    } catch (error) {
      const warning = `Results of ${pair.name} cannot be compared now: ${toProblem(error).message}`
      if (!signal.aborted && warning !== this.#warning) this.#warn(warning)
      this.#warning = warning
    }
    return { kind: 'not-yet' }
  }

  #hear(reply: Exclude<ThreadReply, { kind: 'ready' | 'not-opened' }>): void {
    if (reply.kind === 'warning') return this.#warn(reply.message)
    if (reply.kind === 'compare') {
      void this.#compare(reply.number, reply.pair)
      return
    }
    if (reply.kind === 'changed') {
      for (const changed of this.watchers) changed(reply.names)
      return
    }
    for (const [number, outcome] of reply.outcomes) {
      this.#waiting.get(number)?.(outcome)
      this.#waiting.delete(number)
    }
  }
}

function problemOf({ code, message, hint }: CallOutcome & { kind: 'refused' }): Problem {
  return new Problem(code, message, hint === undefined ? {} : { hint })
}

const stoppedOutcome = {
  kind: 'refused',
  code: 'server-busy',
  message: 'The project of volunteers has stopped.',
  hint: 'Start the server again; its log says why it stopped.',
} as const

function stopped(): Problem {
  return problemOf(stoppedOutcome)
}
