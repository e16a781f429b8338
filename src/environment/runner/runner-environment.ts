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
import { keyOf, type JobPlace } from '../job-files/places.ts'
import { refusalOf } from '../refusal.ts'
import { KnownJobs, placeOfHandle } from './known-jobs.ts'
import { WorkersRefused, type QueuedJob, type Workers } from './workers.ts'
import { messageOf } from '../../problem.ts'

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
/** After news have stopped, until they are asked for again: longer each time that none can be heard. */
const firstWaitMs = 500
const longestWaitMs = 30_000

/** A queue of jobs on a host as an environment: workers there keep their slots busy, and say what becomes of jobs. */
export class RunnerEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #parts: RunnerEnvironmentParts
  readonly #jobs: KnownJobs
  readonly #watchers = new Set<(ids: readonly JobId[]) => void>()
  /** Jobs whose submission was cut off: nobody knows whether it arrived. */
  readonly #doubtful = new Set<JobId>()
  readonly #stop = new AbortController()
  #following: Promise<void> | undefined
  #ensuredAt = 0

  constructor(name: string, parts: RunnerEnvironmentParts) {
    this.name = name
    this.#parts = parts
    this.#jobs = new KnownJobs(parts.files, parts.host.name)
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
    this.#jobs.queued(listed)
    let refused: ReadonlyMap<JobId, string>
    try {
      refused = await this.#send(sent, listed, signal)
    } catch (error) {
      this.#jobs.forget(sent.map(({ id }) => id))
      throw error
    }
    for (const request of sent) {
      const reason = refused.get(request.id)
      this.#doubtful.delete(request.id)
      if (reason !== undefined) this.#jobs.forget([request.id])
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
    const underWay = this.#jobs.underWay(handles)
    const isDue = underWay.length > 0 && now() - this.#ensuredAt >= workers.ensureMs
    // First the workers, then the files: one that is gone by then has written all that it had to say.
    if (isDue) await workers.survey?.(signal)
    const started = await this.#jobs.look(this.#jobs.unsure(underWay), signal)
    if (isDue) {
      await this.#jobs.giveUp(started, workers, signal)
      await this.#ensure(signal).catch((error: unknown) => {
        if (!(error instanceof WorkersRefused)) throw error
      })
    }
    const message = `${this.#parts.host.name} does not know the job.`
    return new Map(handles.map(({ id }) => [id, this.#jobs.observationOf(id) ?? { kind: 'lost', message }]))
  }

  async cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const places = this.#jobs.underWay(handles)
    if (places.length === 0) return
    await this.#parts.files.markCancelled(places, signal)
    this.#jobs.doubt(places)
    await this.#parts.workers.wake(signal)
  }

  async collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    this.#mustBeOpen()
    const place = placeOfHandle(handle)
    if (place === undefined)
      throw new EnvironmentError(`The handle of ${handle.id} is none of this environment's.`)
    return this.#parts.files.collect(place, directory, signal)
  }

  async readPrinted(handle: JobHandle, limitBytes: number, signal: AbortSignal): Promise<string> {
    this.#mustBeOpen()
    const place = placeOfHandle(handle)
    return place === undefined ? '' : this.#parts.files.readPrinted(place, limitBytes, signal)
  }

  async release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const underWay = this.#jobs.underWay(handles)
    if (underWay.length > 0) await this.#endNow(underWay, signal)
    await this.#parts.files.remove(
      handles.flatMap((handle) => placeOfHandle(handle) ?? []),
      signal,
    )
    this.#jobs.forget(handles.map(({ id }) => id))
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
    const places = this.#jobs.ofExecution(key)
    const underWay = this.#jobs.underWay(places.map(handleOf))
    if (underWay.length > 0) await this.#endNow(underWay, signal)
    await this.#parts.files.discard(workDirectory, signal)
    this.#jobs.forget(places.map(({ id }) => id))
    const { waiting, running } = this.#jobs.demand
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
    this.#jobs.forget(places.map(({ id }) => id))
  }

  /** Those of the requests that are not at the host yet; for the others there is an outcome now. */
  async #withoutArrived(
    requests: readonly JobRequest[],
    outcomes: Map<JobId, SubmitOutcome>,
    signal: AbortSignal,
  ): Promise<readonly JobRequest[]> {
    const doubtful = requests.filter(({ id }) => this.#doubtful.has(id))
    if (doubtful.length > 0) {
      await this.#jobs.look(doubtful.map(placeOf), signal)
      for (const request of doubtful) {
        const kind = this.#jobs.observationOf(request.id)?.kind
        // What waits may have come without its list: it is sent again, and runs once.
        if (kind === undefined || kind === 'queued') this.#jobs.forget([request.id])
        else outcomes.set(request.id, accepted(request))
      }
    }
    return requests.filter(({ id }) => !outcomes.has(id))
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
    await this.#parts.workers.ensure(signal, this.#jobs.demand)
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
    for (let waitMs = firstWaitMs; !signal.aborted; waitMs = Math.min(longestWaitMs, 2 * waitMs)) {
      try {
        await workers.wake(signal)
        await workers.follow?.(
          () => {
            waitMs = firstWaitMs
            this.#tell(this.#jobs.beginHearing())
          },
          (news) => this.#tell(this.#jobs.hear(news)),
          signal,
        )
      } catch (error) {
        if (signal.aborted) return
        warn(`News of jobs on ${this.#parts.host.name} cannot be heard just now: ${messageOf(error)}`)
      }
      this.#jobs.endHearing()
      await delay(waitMs, undefined, { signal, ref: false })
    }
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
