import type { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import type { Agreement } from '../environment/volunteers.ts'
import { Problem, toProblem } from '../problem.ts'
import { inTransaction } from '../store/dialect-database.ts'
import { answerRequest } from './answer-request.ts'
import { bringConsequences } from './consequences.ts'
import type { Rush } from './contact-delay.ts'
import type { UploadFile } from './contract.ts'
import { parseOutputName } from './copy-names.ts'
import type { SchedulerReply, SchedulerRequest } from './exchange.ts'
import { progressOf } from './progress.ts'
import type { CallOutcome, ProjectAnswer, ProjectCall } from './project-calls.ts'
import { openProjectTables, type ProjectTables } from './project-tables.ts'
import { replyToUnreadable } from './protocol/refusals.ts'
import type { ResultClass } from './sort-results.ts'
import { openStatistics } from './statistics.ts'
import type { Judgement } from './transitions.ts'
import { unread, type StoredWorkunit } from './work-table.ts'

export interface ProjectSurroundings {
  readonly database: DatabaseSync
  /** Files of hosts lie below, in directories named by two digits of their secret. */
  readonly uploadDirectory: string
  readonly readRequest: (text: string) => SchedulerRequest
  readonly writeReply: (reply: SchedulerReply) => string
  /** The account that an authenticator is the key of. */
  readonly accountOf: (authenticator: string) => number | undefined
  /** Whether a client with this code signing key takes our programs, or will once it has the answer. */
  readonly trustsKey: (held: string) => boolean
  /** Whether the project has another address from now on. */
  readonly isMoved: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** 0 to 1. */
  readonly random: () => number
  /** 32 hex digits that nobody can guess. */
  readonly secret: () => string
}

/** What follows from a batch that is on the disk. */
export interface BatchResult {
  readonly outcomes: readonly CallOutcome[]
  /** Names of workunits whose progress changed. */
  readonly changed: readonly string[]
  /** Paths of files that nobody needs any more. */
  readonly unneeded: readonly string[]
  /** Why what was read could not be taken down. */
  readonly readingFailure?: unknown
}

/** What was read of the archives of a workunit. */
export interface Judged {
  readonly workunit: number
  readonly judgements: readonly Judgement[]
}

/** Workunits of which archives are to be read. */
export interface Reading {
  readonly workunit: number
  readonly name: string
  readonly archives: readonly { readonly number: number; readonly path: string }[]
  /** Where more agree than those that are equal, with what was read before. */
  readonly comparison?: { readonly agreement: Agreement; readonly known: readonly ResultClass[] }
}

const activeCountedMs = 60_000
/** Of a file that has not come whole yet. */
const partSuffix = '.part'

/**
 * The project: all that is done to its tables, in batches of which each is one transaction. Synchronous, and without
 * memory of its own but caches.
 */
export class Project {
  readonly #surroundings: ProjectSurroundings
  readonly #tables: ProjectTables
  readonly #statistics: ReturnType<typeof openStatistics>
  #changed = new Set<string>()
  #unneeded: string[] = []
  #active: { readonly count: number; readonly at: number } | undefined
  #workSeenAt: number

  constructor(surroundings: ProjectSurroundings) {
    this.#surroundings = surroundings
    this.#tables = openProjectTables(surroundings.database, (name) => this.#changed.add(name))
    this.#statistics = openStatistics(surroundings.database)
    this.#workSeenAt = surroundings.now()
  }

  /**
   * Does what is asked and takes down what was read, in one transaction; where something fails unforeseen, each call in
   * a transaction of its own, and what was read in another.
   */
  run(calls: readonly ProjectCall[], judged: readonly Judged[] = []): BatchResult {
    const rush = this.#rush()
    try {
      const outcomes = this.#transaction(() => {
        this.#judge(judged)
        return calls.map((call) => this.#answer(call, rush))
      })
      return this.#result(outcomes)
    } catch (error) {
      if (calls.length === 0) return { ...this.#result([]), readingFailure: error }
      if (calls.length === 1 && judged.length === 0) return this.#result([refusal(error)])
    }
    const results = calls.map((call) => this.run([call]))
    if (judged.length > 0) results.push(this.run([], judged))
    const readingFailure = results.at(-1)?.readingFailure
    return {
      outcomes: results.flatMap(({ outcomes }) => outcomes),
      changed: results.flatMap(({ changed }) => changed),
      unneeded: results.flatMap(({ unneeded }) => unneeded),
      ...(readingFailure !== undefined && { readingFailure }),
    }
  }

  /** Gives up on copies whose deadline has passed, so many at once. */
  sweep(limit: number): BatchResult & { readonly count: number } {
    const now = this.#surroundings.now()
    const count = this.#transaction(() => {
      const overdue = this.#tables.work.overdue(now, limit)
      for (const { workunit: id, number } of overdue) {
        const workunit = this.#tables.work.get(id)
        if (workunit === undefined) continue
        const changes = this.#tables.work.apply(workunit, { kind: 'missed', number, how: 'overdue', at: now })
        bringConsequences(this.#tables.hosts, changes ?? [], now)
      }
      return overdue.length
    })
    return { ...this.#result([]), count }
  }

  /** Forgets what is kept for no workunit: seldom, since it looks at all of them. */
  tidy(): void {
    this.#transaction(() => this.#tables.filing.tidy())
  }

  /** Workunits behind this one whose archives can be compared, in order of their ids, but for those passed over. */
  readings(
    afterId: number,
    limit: number,
    passedOver: ReadonlySet<number> = new Set(),
  ): { readonly readings: readonly Reading[]; readonly last: number | undefined } {
    const ids = this.#tables.work.toJudge(afterId, limit)
    const readings = ids.flatMap((id) => {
      const workunit = passedOver.has(id) ? undefined : this.#tables.work.get(id)
      const copies = workunit === undefined ? [] : unread(workunit)
      if (workunit === undefined || copies.length === 0) return []
      const archives = copies.map(({ number, outputName }) => ({ number, path: this.#pathOf(outputName) }))
      const comparison = this.#comparison(workunit)
      return [
        { workunit: id, name: workunit.name, archives, ...(comparison !== undefined && { comparison }) },
      ]
    })
    return { readings, last: ids.at(-1) }
  }

  #transaction<Result>(work: () => Result): Result {
    try {
      return inTransaction(this.#surroundings.database, work)
    } catch (error) {
      this.#changed.clear()
      this.#unneeded = []
      this.#tables.filing.clear()
      this.#tables.queue.clear()
      throw error
    }
  }

  #result(outcomes: readonly CallOutcome[]): BatchResult {
    const result = { outcomes, changed: [...this.#changed], unneeded: this.#unneeded }
    this.#changed.clear()
    this.#unneeded = []
    return result
  }

  #answer(call: ProjectCall, rush: Rush): CallOutcome {
    return { kind: 'answered', answer: this.#handle(call, rush) }
  }

  #handle(call: ProjectCall, rush: Rush): ProjectAnswer {
    const { filing } = this.#tables
    switch (call.kind) {
      case 'exchange':
        return this.#exchange(call.text, rush)
      case 'file':
        for (const workunit of call.workunits) filing.file(workunit)
        return undefined
      case 'progress':
        return this.#progress(call.names)
      case 'cancel':
        for (const name of call.names) this.#cancel(name)
        return undefined
      case 'remove':
        for (const name of call.names) this.#remove(name)
        return undefined
      case 'download':
        return filing.findFile(call.name)
      case 'upload':
        return this.#upload(call.name)
      case 'uploaded':
        this.#uploaded(call)
        return undefined
      case 'hosts':
        return this.#statistics.recentHosts(call.limit)
      case 'refusals':
        return this.#tables.refusals.count()
      case 'user-statistics':
        return this.#statistics.users(call.after, call.limit)
      case 'host-statistics':
        return this.#statistics.hosts(call.after, call.limit)
    }
  }

  #exchange(text: string, rush: Rush): string {
    const { readRequest, writeReply, now, ...others } = this.#surroundings
    let request: SchedulerRequest
    try {
      request = readRequest(text)
    } catch (error) {
      if (error instanceof Problem) return writeReply(replyToUnreadable(error.message))
      throw error
    }
    return writeReply(answerRequest(this.#tables, { ...others, now: now(), rush }, request))
  }

  #judge(judged: readonly Judged[]): void {
    const at = this.#surroundings.now()
    for (const { workunit: id, judgements } of judged) {
      const workunit = this.#tables.work.get(id)
      if (workunit === undefined) continue
      const changes = this.#tables.work.apply(workunit, { kind: 'judged', judgements, at })
      bringConsequences(this.#tables.hosts, changes ?? [], at)
    }
  }

  #progress(names: readonly string[]): ProjectAnswer {
    const nameOf = (host: number): string => this.#tables.hosts.name(host)
    return names.flatMap((name) => {
      const workunit = this.#tables.work.find(name)
      if (workunit === undefined) return []
      return [[name, progressOf(workunit, nameOf, (output) => this.#pathOf(output))] as const]
    })
  }

  #cancel(name: string): void {
    const workunit = this.#tables.work.find(name)
    if (workunit === undefined) return
    this.#tables.work.apply(workunit, { kind: 'cancelled' })
    this.#tables.queue.take(workunit)
  }

  #remove(name: string): void {
    const workunit = this.#tables.work.find(name)
    if (workunit === undefined) return
    for (const { outputName } of workunit.copies) {
      const path = this.#pathOf(outputName)
      this.#unneeded.push(path, `${path}${partSuffix}`)
    }
    this.#tables.work.forget(workunit.id)
    this.#tables.queue.take(workunit)
  }

  #upload(name: string): UploadFile | undefined {
    const found = this.#findOutput(name)
    if (found === undefined) return undefined
    const { workunit, copy } = found
    const isAwaited =
      copy.outputMd5 === undefined &&
      (workunit.state.kind === 'active' || workunit.state.kind === 'accepted') &&
      ['sent', 'overdue', 'detached', 'lost'].includes(copy.state)
    const { outputBytesAtMost } = this.#tables.work.definition(workunit.id)
    return {
      path: this.#pathOf(name),
      bytesAtMost: outputBytesAtMost,
      givenAt: copy.sentAt,
      state: isAwaited ? 'open' : 'closed',
    }
  }

  #uploaded({ name, bytes, md5 }: ProjectCall & { kind: 'uploaded' }): void {
    const found = this.#findOutput(name)
    if (found !== undefined) this.#tables.work.keepUpload(found.workunit, found.copy, { bytes, md5 })
  }

  #comparison({ state, copies }: StoredWorkunit): Reading['comparison'] {
    const { agreement, quorum } = state.replication
    if (agreement === undefined || quorum < 2) return undefined
    const first = new Map<string, ResultClass>()
    // Others took the digest of the one that came first.
    const inOrder = copies.toSorted((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0) || a.number - b.number)
    for (const { digest, outputName } of inOrder)
      if (digest !== undefined && !first.has(digest))
        first.set(digest, { digest, path: this.#pathOf(outputName) })
    return { agreement, known: [...first.values()] }
  }

  #findOutput(name: string) {
    const parsed = parseOutputName(name)
    const workunit = parsed && this.#tables.work.find(parsed.workunit)
    const copy = workunit?.copies.find(
      ({ number, outputName }) => number === parsed?.number && outputName === name,
    )
    return workunit === undefined || copy === undefined ? undefined : { workunit, copy }
  }

  #pathOf(outputName: string): string {
    const secret = parseOutputName(outputName)?.secret ?? ''
    return join(this.#surroundings.uploadDirectory, secret.slice(0, 2), outputName)
  }

  #rush(): Rush {
    const now = this.#surroundings.now()
    this.#tables.queue.refresh()
    const isWorkWaiting = !this.#tables.queue.isEmpty()
    if (isWorkWaiting) this.#workSeenAt = now
    if (this.#active === undefined || now > this.#active.at + activeCountedMs)
      this.#active = { count: this.#tables.hosts.countActive(now), at: now }
    return { isWorkWaiting, idleMs: now - this.#workSeenAt, activeHosts: this.#active.count }
  }
}

function refusal(error: unknown): CallOutcome {
  const { code, message, hint } = toProblem(error)
  return { kind: 'refused', code, message, ...(hint === undefined ? {} : { hint }) }
}
