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
} from '../environment.ts'
import type { Host } from '../host.ts'
import type { JobFiles } from '../job-files/job-files.ts'
import { isKey, keyOf, type JobPlace } from '../job-files/places.ts'
import { refusalOf } from '../refusal.ts'
import { cancelled, observationOfEnd, observationOfMark } from './observation.ts'
import { WorkersRefused, type Demand, type QueuedJob, type RunnerNews, type Workers } from './workers.ts'

export interface RunnerEnvironmentParts {
  readonly host: Host
  readonly files: JobFiles
  readonly workers: Workers
  readonly maxActiveJobs: number
  readonly lostAfterOutageMs?: number
  readonly pollInterval: Capabilities['pollInterval']
  readonly stopGraceMs: number
  readonly now: () => number
  readonly warn: (message: string) => void
}

/** Memory is that of each of a job's processes. */
const honoured = ['cpus', 'memoryBytes', 'wallTimeMs'] as const
const releasePollMs = 100

interface KnownJob {
  readonly place: JobPlace
  readonly slots: number
  observation: Observation
  /** Whether every change since is told by the runner. */
  isSure: boolean
}

/** A queue of jobs on a host as an environment: workers there keep their slots busy, and say what becomes of jobs. */
export class RunnerEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #parts: RunnerEnvironmentParts
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
  #begun = 0

  constructor(name: string, parts: RunnerEnvironmentParts) {
    this.name = name
    this.#parts = parts
    this.capabilities = {
      survivesRestart: true,
      sharedFileSystem: parts.host.sharesFiles,
      watch: parts.workers.follow !== undefined,
      resources: honoured,
      maxJobsPerSubmit: 1000,
      maxActiveJobs: parts.maxActiveJobs,
      slots: parts.workers.slots,
      ...(parts.lostAfterOutageMs !== undefined && { lostAfterOutageMs: parts.lostAfterOutageMs }),
      pollInterval: parts.pollInterval,
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    const bad = (await this.inspect(signal)).find(({ isGood }) => !isGood)
    if (bad !== undefined) throw new EnvironmentError([bad.message, bad.fix].filter(Boolean).join(' '))
  }

  async inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    const findings = await this.#parts.files.inspect(signal)
    if (findings.some(({ isGood }) => !isGood)) return findings
    return [...findings, ...(await this.#parts.workers.inspect(signal))]
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const outcomes = new Map<JobId, SubmitOutcome>()
    const fresh: JobRequest[] = []
    const queued: QueuedJob[] = []
    for (const request of requests) {
      const needs = refusalOf(request, honoured) ?? this.#parts.workers.plan(request.resources)
      if (this.#jobs.has(request.id)) outcomes.set(request.id, accepted(request))
      else if (typeof needs === 'string') outcomes.set(request.id, { kind: 'rejected', reason: needs })
      else {
        fresh.push(request)
        queued.push({ place: placeOf(request), ...needs })
      }
    }
    this.#follow()
    if (fresh.length > 0) await this.#parts.workers.survey?.(signal)
    for (const request of await this.#withoutArrived(fresh, outcomes, signal)) this.#doubtful.add(request.id)
    const sent = fresh.filter(({ id }) => !outcomes.has(id))
    if (sent.length === 0) return outcomes
    const listed = queued.filter(({ place }) => !outcomes.has(place.id))
    // Known before they are sent: the runner may speak of them at once.
    for (const { place, slots } of listed)
      this.#jobs.set(place.id, { place, slots, observation: { kind: 'queued' }, isSure: this.#isHeard })
    let refused: ReadonlyMap<JobId, string>
    try {
      refused = await this.#send(sent, listed, signal)
    } catch (error) {
      for (const { id } of sent) this.#jobs.delete(id)
      throw error
    }
    for (const request of sent) {
      const reason = refused.get(request.id)
      this.#doubtful.delete(request.id)
      if (reason !== undefined) this.#jobs.delete(request.id)
      outcomes.set(request.id, reason === undefined ? accepted(request) : { kind: 'rejected', reason })
    }
    try {
      await this.#ensure(signal)
    } catch (error) {
      if (!(error instanceof WorkersRefused)) throw error
      await this.#takeBack(sent.map(placeOf), signal)
      for (const { id } of sent) outcomes.set(id, { kind: 'rejected', reason: error.message })
    }
    return outcomes
  }

  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    this.#follow()
    const { workers, now } = this.#parts
    const asked = handles.map((handle) => [handle, placeOfHandle(handle)] as const)
    const underWay = asked.flatMap(([{ id }, place]) => {
      const known = this.#jobs.get(id)
      return place === undefined || (known !== undefined && isOver(known.observation)) ? [] : [place]
    })
    const unsure = underWay.filter(({ id }) => !(this.#jobs.get(id)?.isSure === true && this.#isHeard))
    const isDue = underWay.length > 0 && now() - this.#ensuredAt >= workers.ensureMs
    // First the workers, then the files: one that is gone by then has written all that it had to say.
    if (isDue) await workers.survey?.(signal)
    const started = await this.#look(unsure, signal)
    if (isDue) {
      await this.#giveUp(started, signal)
      await this.#ensure(signal).catch((error: unknown) => {
        if (!(error instanceof WorkersRefused)) throw error
      })
    }
    const observations = new Map<JobId, Observation>(
      asked.map(([{ id }]) => [
        id,
        this.#jobs.get(id)?.observation ?? {
          kind: 'lost',
          message: `${this.#parts.host.name} does not know the job.`,
        },
      ]),
    )
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
    await this.#parts.workers.wake(signal)
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
    const { files, workers } = this.#parts
    const found = await files.find(ids, signal)
    // Another server may use the same place.
    return found.filter(({ note }) => note === workers.name).map(({ id, key }) => handleOf({ id, key }))
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
    const { waiting, running } = this.#demand()
    if (waiting + running === 0) await this.#parts.workers.rest?.(signal)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#following
    await this.#parts.host.close()
  }

  #send(
    requests: readonly JobRequest[],
    queued: readonly QueuedJob[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, string>> {
    const { files, workers, now } = this.#parts
    return files.prepare(
      requests.map((request) => ({ request, note: workers.name })),
      [workers.list(queued, now())],
      signal,
    )
  }

  async #takeBack(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    await this.#parts.files.remove(places, signal)
    for (const { id } of places) this.#jobs.delete(id)
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
        else outcomes.set(request.id, accepted(request))
      }
    }
    return requests.filter(({ id }) => !outcomes.has(id))
  }

  /** Gives the jobs that have begun and did not end: with whether they were asked to. */
  async #look(
    places: readonly JobPlace[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobPlace, { readonly isCancelled: boolean }>> {
    const started = new Map<JobPlace, { readonly isCancelled: boolean }>()
    if (places.length === 0) return started
    const isHeard = this.#isHeard
    const told = new Set<string>()
    this.#looks.add(told)
    const marks = await this.#parts.files.look(places, signal).finally(() => this.#looks.delete(told))
    for (const place of places) {
      const mark = marks.get(place.id)
      const known = this.#jobs.get(place.id)
      if (mark === undefined || (known !== undefined && isOver(known.observation))) continue
      const observation = observationOfMark(mark)
      if (mark.kind === 'started') started.set(place, mark)
      if (observation === undefined) this.#jobs.delete(place.id)
      else {
        if (observation.kind !== 'queued' && known?.observation.kind === 'queued') this.#begun += 1
        this.#jobs.set(place.id, {
          place,
          slots: known?.slots ?? 1,
          observation,
          isSure: isHeard && this.#isHeard && !told.has(place.id),
        })
      }
    }
    return started
  }

  /** Jobs whose worker is gone have ended: nobody can tell any more how. */
  async #giveUp(
    started: ReadonlyMap<JobPlace, { readonly isCancelled: boolean }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { workers } = this.#parts
    if (workers.abandoned === undefined || started.size === 0) return
    const abandoned = await workers.abandoned([...started.keys()], signal)
    for (const [place, { isCancelled }] of started) {
      const known = this.#jobs.get(place.id)
      const message = abandoned.get(place.id)
      if (known === undefined || message === undefined) continue
      known.observation = isCancelled ? cancelled : { kind: 'stopped', cause: 'node-failure', message }
    }
  }

  #demand(): Demand {
    let waiting = 0
    let running = 0
    for (const { observation, slots } of this.#jobs.values())
      if (observation.kind === 'queued') waiting += slots
      else if (observation.kind === 'running') running += slots
    return { waiting, running, begun: this.#begun }
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
      await this.#parts.workers.wake(signal)
      await delay(releasePollMs, undefined, { signal })
    }
  }

  async #ensure(signal: AbortSignal): Promise<void> {
    await this.#parts.workers.ensure(signal, this.#demand())
    this.#ensuredAt = this.#parts.now()
  }

  /** Listens to the runner from now on until the end. */
  #follow(): void {
    if (this.#parts.workers.follow === undefined) return
    this.#following ??= this.#listen().catch(() => undefined)
  }

  async #listen(): Promise<void> {
    const { workers, warn } = this.#parts
    const { signal } = this.#stop
    for (let waitMs = 500; !signal.aborted; waitMs = this.#isHeard ? 500 : Math.min(30_000, waitMs * 2)) {
      this.#isHeard = false
      try {
        await workers.wake(signal)
        await workers.follow?.(
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

function accepted(request: JobRequest): SubmitOutcome {
  return { kind: 'accepted', handle: handleOf(placeOf(request)) }
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
