import { setTimeout as delay } from 'node:timers/promises'
import {
  EnvironmentError,
  type Capabilities,
  type CheckFinding,
  type CollectedFiles,
  type Environment,
  type JobHandle,
  type JobId,
  type JobRequest,
  type Observation,
  type SubmitOutcome,
} from '../../src/environment/environment.ts'
import type { Host } from '../../src/environment/host.ts'
import type { JobFiles } from '../../src/environment/job-files/job-files.ts'
import { isKey, keyOf, type JobPlace } from '../../src/environment/job-files/places.ts'
import { refusalOf } from '../../src/environment/refusal.ts'
import type { QueuedJob, Runner, RunnerNews } from '../../src/environment/runner/runner.ts'
import { observationOfEnd, observationOfMark } from './observation.ts'

export interface SshEnvironmentParts {
  readonly host: Host
  readonly files: JobFiles
  readonly runner: Runner
  readonly slots: number
  readonly stopGraceMs: number
  readonly now: () => number
  readonly warn: (message: string) => void
}

/** Memory is that of each of a job's processes. */
const honoured = ['cpus', 'memoryBytes', 'wallTimeMs'] as const
/** While jobs are under way, how often it is asked whether their runner lives. */
const ensureMs = 10_000
const releasePollMs = 100

interface KnownJob {
  readonly place: JobPlace
  observation: Observation
  /** Whether every change since is told by the runner. */
  isSure: boolean
}

/** A host behind SSH as an environment: a runner there keeps its slots busy, and says what becomes of jobs. */
export class SshEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #parts: SshEnvironmentParts
  readonly #jobs = new Map<JobId, KnownJob>()
  readonly #watchers = new Set<(ids: readonly JobId[]) => void>()
  /** Jobs whose submission was cut off: nobody knows whether it arrived. */
  readonly #doubtful = new Set<JobId>()
  /** Ids of the jobs of which news came while somebody looked: what was seen may be old. */
  readonly #looks = new Set<Set<string>>()
  readonly #stop = new AbortController()
  #following: Promise<void> | undefined
  #isHeard = false
  #ensuredAt = 0

  constructor(name: string, parts: SshEnvironmentParts) {
    this.name = name
    this.#parts = parts
    this.capabilities = {
      survivesRestart: true,
      sharedFileSystem: parts.host.sharesFiles,
      watch: true,
      resources: honoured,
      maxJobsPerSubmit: 1000,
      maxActiveJobs: Math.max(2000, parts.slots * 4),
      slots: parts.slots,
      pollInterval: { minMs: 2000, maxMs: 30_000, stepMs: 2000 },
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    const bad = (await this.inspect(signal)).find(({ isGood }) => !isGood)
    if (bad !== undefined) throw new EnvironmentError([bad.message, bad.fix].filter(Boolean).join(' '))
  }

  async inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    const findings = await this.#parts.files.inspect(signal)
    if (findings.some(({ isGood }) => !isGood)) return findings
    try {
      await this.#ensure(signal)
      return [
        ...findings,
        { what: 'runner', isGood: true, message: `Up to ${this.#parts.slots} jobs run at once.` },
      ]
    } catch (error) {
      signal.throwIfAborted()
      return [...findings, { what: 'runner', isGood: false, message: messageOf(error) }]
    }
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const outcomes = new Map<JobId, SubmitOutcome>()
    const fresh: JobRequest[] = []
    for (const request of requests) {
      const refusal = refusalOf(request, honoured)
      if (this.#jobs.has(request.id)) outcomes.set(request.id, this.#accepted(request))
      else if (refusal !== undefined) outcomes.set(request.id, { kind: 'rejected', reason: refusal })
      else fresh.push(request)
    }
    this.#follow()
    for (const request of await this.#withoutArrived(fresh, outcomes, signal)) this.#doubtful.add(request.id)
    const sent = fresh.filter(({ id }) => !outcomes.has(id))
    if (sent.length === 0) return outcomes
    // Known before they are sent: the runner may speak of them at once.
    for (const request of sent)
      this.#jobs.set(request.id, {
        place: placeOf(request),
        observation: { kind: 'queued' },
        isSure: this.#isHeard,
      })
    let refused: ReadonlyMap<JobId, string>
    try {
      refused = await this.#send(sent, signal)
    } catch (error) {
      for (const { id } of sent) this.#jobs.delete(id)
      throw error
    }
    for (const request of sent) {
      const reason = refused.get(request.id)
      this.#doubtful.delete(request.id)
      if (reason !== undefined) this.#jobs.delete(request.id)
      outcomes.set(request.id, reason === undefined ? this.#accepted(request) : { kind: 'rejected', reason })
    }
    await this.#ensure(signal)
    return outcomes
  }

  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    this.#follow()
    const asked = handles.map((handle) => [handle, placeOfHandle(handle)] as const)
    const unsure = asked.flatMap(([{ id }, place]) => {
      const known = this.#jobs.get(id)
      const isSettled = known !== undefined && (isOver(known.observation) || (known.isSure && this.#isHeard))
      return place === undefined || isSettled ? [] : [place]
    })
    await this.#look(unsure, signal)
    const observations = new Map<JobId, Observation>(
      asked.map(([{ id }]) => [
        id,
        this.#jobs.get(id)?.observation ?? {
          kind: 'lost',
          message: `${this.#parts.host.name} does not know the job.`,
        },
      ]),
    )
    const isAnyUnderWay = [...observations.values()].some(
      ({ kind }) => kind === 'queued' || kind === 'running',
    )
    if (isAnyUnderWay && this.#parts.now() - this.#ensuredAt > ensureMs) await this.#ensure(signal)
    return observations
  }

  async cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const places = this.#underWay(handles)
    if (places.length === 0) return
    await this.#parts.files.markCancelled(places, signal)
    for (const { id } of places) {
      const known = this.#jobs.get(id)
      if (known !== undefined) known.isSure = false
    }
    await this.#ensure(signal)
  }

  async collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    this.#mustBeOpen()
    const place = placeOfHandle(handle)
    if (place === undefined)
      throw new EnvironmentError(`The handle of ${handle.id} is none of this environment's.`)
    return this.#parts.files.collect(place, directory, signal)
  }

  async release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const underWay = this.#underWay(handles)
    if (underWay.length > 0) await this.#endNow(underWay, signal)
    await this.#parts.files.remove(
      handles.flatMap((handle) => placeOfHandle(handle) ?? []),
      signal,
    )
    for (const { id } of handles) this.#jobs.delete(id)
  }

  async recover(ids: readonly JobId[], signal: AbortSignal): Promise<readonly JobHandle[]> {
    this.#mustBeOpen()
    const { files, runner } = this.#parts
    const found = await files.find(ids, signal)
    // Another server may use the same place.
    return found.filter(({ note }) => note === runner.name).map(({ id, key }) => handleOf({ id, key }))
  }

  watch(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void {
    if (signal.aborted) return
    this.#watchers.add(changed)
    signal.addEventListener('abort', () => this.#watchers.delete(changed), { once: true })
  }

  async discard(workDirectory: string, signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const key = keyOf(workDirectory)
    const jobs = [...this.#jobs.values()].filter(({ place }) => place.key === key)
    const underWay = jobs.filter(({ observation }) => !isOver(observation)).map(({ place }) => place)
    if (underWay.length > 0) await this.#endNow(underWay, signal)
    await this.#parts.files.discard(workDirectory, signal)
    for (const { place } of jobs) this.#jobs.delete(place.id)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#following
    await this.#parts.host.close()
  }

  #send(requests: readonly JobRequest[], signal: AbortSignal): Promise<ReadonlyMap<JobId, string>> {
    const { files, runner, now } = this.#parts
    const list = runner.list(
      requests.map((request) => this.#queued(request)),
      now(),
    )
    return files.prepare(
      requests.map((request) => ({ request, note: runner.name })),
      [list],
      signal,
    )
  }

  /** Those of the requests that are not at the host yet; for the others there is an outcome now. */
  async #withoutArrived(
    requests: readonly JobRequest[],
    outcomes: Map<JobId, SubmitOutcome>,
    signal: AbortSignal,
  ): Promise<readonly JobRequest[]> {
    const doubtful = requests.filter(({ id }) => this.#doubtful.has(id))
    if (doubtful.length > 0) {
      await this.#look(doubtful.map(placeOf), signal)
      for (const request of doubtful) {
        const kind = this.#jobs.get(request.id)?.observation.kind
        // What waits may have come without its list: it is sent again, and runs once.
        if (kind === undefined || kind === 'queued') this.#jobs.delete(request.id)
        else outcomes.set(request.id, this.#accepted(request))
      }
    }
    return requests.filter(({ id }) => !outcomes.has(id))
  }

  #accepted(request: JobRequest): SubmitOutcome {
    return { kind: 'accepted', handle: handleOf(placeOf(request)) }
  }

  #queued(request: JobRequest): QueuedJob {
    const { cpus = 1, wallTimeMs, memoryBytes } = request.resources
    return {
      place: placeOf(request),
      slots: Math.min(cpus, this.#parts.slots),
      ...(wallTimeMs !== undefined && { wallTimeMs }),
      ...(memoryBytes !== undefined && { memoryBytes }),
    }
  }

  async #look(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    if (places.length === 0) return
    const isHeard = this.#isHeard
    const told = new Set<string>()
    this.#looks.add(told)
    const marks = await this.#parts.files.look(places, signal).finally(() => this.#looks.delete(told))
    for (const place of places) {
      const mark = marks.get(place.id)
      const known = this.#jobs.get(place.id)
      if (mark === undefined || (known !== undefined && isOver(known.observation))) continue
      const observation = observationOfMark(mark)
      if (observation === undefined) this.#jobs.delete(place.id)
      else
        this.#jobs.set(place.id, {
          place,
          observation,
          isSure: isHeard && this.#isHeard && !told.has(place.id),
        })
    }
  }

  #underWay(handles: readonly JobHandle[]): readonly JobPlace[] {
    return handles.flatMap((handle) => {
      const known = this.#jobs.get(handle.id)
      return known !== undefined && isOver(known.observation) ? [] : (placeOfHandle(handle) ?? [])
    })
  }

  /** Ends jobs and waits until they are over, so that their directories can be deleted. */
  async #endNow(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    const { files, stopGraceMs } = this.#parts
    await files.markCancelled(places, signal)
    const deadline = performance.now() + stopGraceMs + 5000
    let left = places
    for (;;) {
      const marks = await files.look(left, signal)
      left = left.filter(({ id }) => marks.get(id)?.kind === 'started')
      if (left.length === 0 || performance.now() > deadline) return
      await this.#ensure(signal)
      await delay(releasePollMs, undefined, { signal })
    }
  }

  async #ensure(signal: AbortSignal): Promise<void> {
    await this.#parts.runner.ensure(signal)
    this.#ensuredAt = this.#parts.now()
  }

  /** Listens to the runner from now on until the end. */
  #follow(): void {
    this.#following ??= this.#listen().catch(() => undefined)
  }

  async #listen(): Promise<void> {
    const { runner, warn } = this.#parts
    const { signal } = this.#stop
    for (let waitMs = 500; !signal.aborted; waitMs = this.#isHeard ? 500 : Math.min(30_000, waitMs * 2)) {
      this.#isHeard = false
      try {
        await runner.ensure(signal)
        await runner.follow(
          () => this.#beginHearing(),
          (news) => this.#hear(news),
          signal,
        )
      } catch (error) {
        if (signal.aborted) return
        warn(`News of jobs on ${this.#parts.host.name} cannot be heard just now: ${messageOf(error)}`)
      }
      const wasHeard = this.#isHeard
      this.#isHeard = false
      for (const job of this.#jobs.values()) job.isSure = false
      await delay(wasHeard ? 500 : waitMs, undefined, { signal, ref: false })
    }
  }

  #hear(news: readonly RunnerNews[]): void {
    const changed: JobId[] = []
    for (const each of news) {
      const id = each.id as JobId
      for (const told of this.#looks) told.add(id)
      const known = this.#jobs.get(id)
      if (known === undefined || isOver(known.observation)) continue
      if (each.kind === 'started') known.observation = { kind: 'running', host: this.#parts.host.name }
      // Whether it was cancelled is told by its directory.
      else if (each.end.kind === 'exited' && each.end.exitCode === 0)
        known.observation = observationOfEnd(each.end, false)
      else known.isSure = false
      changed.push(id)
    }
    this.#tell(changed)
  }

  /** From now on news are heard; what came before may have been missed. */
  #beginHearing(): void {
    this.#isHeard = true
    this.#tell([...this.#jobs].flatMap(([id, { observation }]) => (isOver(observation) ? [] : [id])))
  }

  #tell(ids: readonly JobId[]): void {
    if (ids.length > 0) for (const watcher of this.#watchers) watcher(ids)
  }

  #mustBeOpen(): void {
    if (this.#stop.signal.aborted) throw new EnvironmentError(`The environment ${this.name} is closed.`)
  }
}

function placeOf(request: JobRequest): JobPlace {
  return { id: request.id, key: keyOf(request.workDirectory) }
}

function handleOf({ id, key }: JobPlace): JobHandle {
  return { id, nativeId: id, state: { version: 1, key } }
}

function placeOfHandle({ id, state }: JobHandle): JobPlace | undefined {
  return isKey(state.key) ? { id, key: state.key } : undefined
}

function isOver({ kind }: Observation): boolean {
  return kind === 'exited' || kind === 'stopped' || kind === 'lost'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
