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
  type Resources,
  type SubmitOutcome,
} from '../environment.ts'
import { gather } from '../gather.ts'
import type { Host } from '../host.ts'
import { JobFilesGone, type JobFiles } from '../job-files/job-files.ts'
import { keyOf } from '../job-files/places.ts'
import { refusalOf } from '../refusal.ts'
import { findJobs } from './find-jobs.ts'
import { readHandle, type FollowedJob } from './handle.ts'
import { asked, listedJobs, openKinds } from './listed-jobs.ts'
import type { BatchQueue } from './queue.ts'
import { Observer } from './observer.ts'
import { mostPerSubmit, type Scheduler } from './scheduler.ts'
import { Submitter } from './submitter.ts'
import type { VerdictLimits } from './verdict.ts'

/** What of a scheduler is needed beside its queue. */
export type SchedulerFacts = Pick<
  Scheduler,
  'name' | 'resources' | 'batchSizeAtMost' | 'index' | 'announcesSignals' | 'keepsHeldJobs' | 'directives'
>

export interface BatchEnvironmentOptions extends VerdictLimits {
  /** Most jobs of this server that are in the queue or run at the same time. */
  readonly maxQueued: number
  readonly submissionsPerMinute: number
  readonly pollInterval: Capabilities['pollInterval']
  /** How long a job may go on after its wall time was up and it was asked to end. */
  readonly stopGraceMs: number
  /** What a job gets that does not ask for it. */
  readonly defaults: Resources
  /** Jobs count as lost after so long without an answer; without it they wait. */
  readonly lostAfterOutageMs?: number
  /** How long outputs are asked for again while the host gives no answer. */
  readonly retryMs: number
}

export const defaultBatchOptions: BatchEnvironmentOptions = {
  maxQueued: 10_000,
  submissionsPerMinute: 60,
  pollInterval: { minMs: 1000, maxMs: 30_000, stepMs: 1000 },
  stopGraceMs: 10_000,
  exitFileGraceMs: 60_000,
  causeGraceMs: 10_000,
  defaults: {},
  retryMs: 600_000,
}

export interface BatchSurroundings {
  readonly host: Host
  readonly queue: BatchQueue
  readonly scheduler: SchedulerFacts
  readonly files: JobFiles
  readonly now: () => number
  readonly warn: (message: string) => void
}

/** How long removals and cancellations wait for others to go with them. */
const gathering = { delayMs: 5, mostAtOnce: 2000, mostRunning: 1 }

/** A batch scheduler on a host as an environment. What it knows of jobs is in handles, on the host and in the scheduler. */
export function batchEnvironment(
  name: string,
  surroundings: BatchSurroundings,
  options: Partial<BatchEnvironmentOptions> = {},
): Environment {
  return new BatchEnvironment(name, surroundings, { ...defaultBatchOptions, ...options })
}

class BatchEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #options: BatchEnvironmentOptions
  readonly #surroundings: BatchSurroundings
  readonly #jobs = new Map<JobId, FollowedJob>()
  readonly #submitter: Submitter
  readonly #observer: Observer
  readonly #life = new AbortController()
  readonly #cancelTogether: (jobs: readonly FollowedJob[]) => Promise<void>
  readonly #removeTogether: (jobs: readonly FollowedJob[]) => Promise<void>
  #closing: Promise<void> | undefined

  constructor(name: string, surroundings: BatchSurroundings, options: BatchEnvironmentOptions) {
    this.name = name
    this.#options = options
    this.#surroundings = surroundings
    const { scheduler, host } = surroundings
    this.capabilities = {
      survivesRestart: true,
      sharedFileSystem: host.sharesFiles,
      watch: false,
      // The script ends jobs in time where the scheduler does not.
      resources: [...new Set([...scheduler.resources, 'wallTimeMs' as const])],
      maxJobsPerSubmit: mostPerSubmit,
      maxActiveJobs: options.maxQueued,
      ...(options.lostAfterOutageMs !== undefined && { lostAfterOutageMs: options.lostAfterOutageMs }),
      pollInterval: options.pollInterval,
    }
    this.#observer = new Observer(surroundings, options)
    this.#submitter = new Submitter(surroundings, options, this.#jobs)
    this.#cancelTogether = gather(async (calls) => this.#cancel(calls.flat()), gathering)
    this.#removeTogether = gather(async (calls) => this.#remove(calls.flat()), gathering)
  }

  async check(signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    await this.#surroundings.files.base(signal)
    for (const { isGood, message, fix } of await this.#surroundings.queue.check(signal))
      if (!isGood) throw new EnvironmentError([message, fix].join(' ').trim())
  }

  async inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    this.#mustBeOpen()
    const ofHost = await this.#surroundings.files.inspect(signal)
    // Without the host, the same would be said of the scheduler.
    if (ofHost.some(({ what, isGood }) => what === 'host' && !isGood)) return ofHost
    return [...ofHost, ...(await this.#surroundings.queue.check(signal))]
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    this.#mustBeOpen()
    signal.throwIfAborted()
    const outcomes = new Map<JobId, SubmitOutcome>()
    const fresh: JobRequest[] = []
    let room = this.#options.maxQueued - this.#jobs.size
    for (const request of requests) {
      const known = this.#jobs.get(request.id)
      const refusal = known === undefined ? refusalOf(request, this.capabilities.resources) : undefined
      if (known !== undefined) outcomes.set(request.id, { kind: 'accepted', handle: known.handle })
      else if (refusal !== undefined) outcomes.set(request.id, { kind: 'rejected', reason: refusal })
      else if (room <= 0)
        outcomes.set(request.id, {
          kind: 'deferred',
          reason: `${this.#options.maxQueued} jobs are in the queue of ${this.#surroundings.scheduler.name} already (maxQueued).`,
        })
      else {
        room -= 1
        fresh.push(request)
      }
    }
    for (const [id, outcome] of await this.#submitter.submit(fresh, this.#within(signal)))
      outcomes.set(id, outcome)
    return outcomes
  }

  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    this.#mustBeOpen()
    const observations = new Map<JobId, Observation>()
    const jobs: FollowedJob[] = []
    for (const handle of handles) {
      const job = this.#follow(handle)
      if (job !== undefined) jobs.push(job)
      else
        observations.set(handle.id, { kind: 'lost', message: 'The handle is not one of this environment.' })
    }
    if (jobs.length === 0) return observations
    for (const [id, observation] of await this.#observer.observe(jobs, signal))
      observations.set(id, observation)
    return observations
  }

  async cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    signal.throwIfAborted()
    const jobs = handles.flatMap((handle) => this.#follow(handle) ?? []).filter(({ hasEnded }) => !hasEnded)
    if (jobs.length > 0) await this.#cancelTogether(jobs)
  }

  async readPrinted(handle: JobHandle, limitBytes: number, signal: AbortSignal): Promise<string> {
    this.#mustBeOpen()
    const place = this.#follow(handle)?.place
    if (place === undefined) return ''
    return this.#surroundings.files.readPrinted(place, limitBytes, this.#within(signal))
  }

  async collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    this.#mustBeOpen()
    const job = this.#follow(handle)
    if (job === undefined)
      throw new EnvironmentError(`The handle of ${handle.id} is not one of this environment.`)
    const within = this.#within(signal)
    const begin = this.#surroundings.now()
    for (let waitMs = 1000; ; waitMs = Math.min(30_000, waitMs * 2)) {
      try {
        return await this.#surroundings.files.collect(job.place, directory, within)
      } catch (error) {
        within.throwIfAborted()
        // Results are worth waiting for: the host may come back.
        const isOver = this.#surroundings.now() - begin + waitMs > this.#options.retryMs
        if (isOver || error instanceof JobFilesGone || !(error instanceof EnvironmentError)) throw error
        this.#surroundings.warn(`${this.name}: fetching outputs is tried again: ${error.message}`)
      }
      await delay(waitMs, undefined, { signal: within })
    }
  }

  async release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    signal.throwIfAborted()
    const jobs = handles.flatMap((handle) => this.#follow(handle) ?? [])
    if (jobs.length > 0) await this.#removeTogether(jobs)
  }

  async recover(ids: readonly JobId[], signal: AbortSignal): Promise<readonly JobHandle[]> {
    this.#mustBeOpen()
    const known = ids.flatMap((id) => this.#jobs.get(id)?.handle ?? [])
    const others = ids.filter((id) => !this.#jobs.has(id))
    const found = await findJobs(others, this.#surroundings, this.#within(signal))
    return [...known, ...found]
  }

  async discard(workDirectory: string, signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const key = keyOf(workDirectory)
    const jobs = [...this.#jobs.values()].filter(({ place }) => place.key === key)
    await this.#end(jobs)
    await this.#surroundings.files.discard(workDirectory, this.#within(signal))
    for (const { place } of jobs) this.#jobs.delete(place.id)
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#life.abort(new EnvironmentError(`The environment ${this.name} is closed.`))
      this.#closing = this.#surroundings.host.close()
    }
    return this.#closing
  }

  #mustBeOpen(): void {
    this.#life.signal.throwIfAborted()
  }

  #within(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#life.signal])
  }

  /** The job of a handle, also of one from an earlier life of the server. */
  #follow(handle: JobHandle): FollowedJob | undefined {
    const known = this.#jobs.get(handle.id)
    if (known !== undefined) return known
    const position = readHandle(handle)
    if (position === undefined) return undefined
    const job: FollowedJob = {
      ...position,
      handle,
      missingSince: undefined,
      isProven: false,
      isListed: false,
      hasEnded: false,
    }
    this.#jobs.set(handle.id, job)
    return job
  }

  async #cancel(jobs: readonly FollowedJob[]): Promise<void> {
    const { files, queue, warn } = this.#surroundings
    const { signal } = this.#life
    // What has not started yet will not start, whatever becomes of the request to the scheduler.
    const places = jobs.map(({ place }) => place)
    const fault = await files.markCancelled(places, signal).then(() => undefined, errorOf)
    const known = new Set(
      jobs.flatMap(({ nativeId, isListed }) => (nativeId !== '' && isListed ? [nativeId] : [])),
    )
    if (known.size > 0) await asked(queue.cancel([...known], signal))
    // A submission whose answer was lost may have arrived after it was made again: then another copy runs.
    const listed = await listedJobs(queue, signal)
    const others = jobs.flatMap((job) => [
      ...(listed.isOfAnother(job.nativeId, job) ? [] : [job.nativeId]),
      ...listed.nativeIdsOf(job, openKinds),
    ])
    const left = [...new Set(others)].filter((id) => id !== '' && !known.has(id))
    if (left.length > 0) await asked(queue.cancel(left, signal))
    if (fault === undefined) return
    if (known.size + left.length === 0) throw fault
    // A full disk must not keep jobs alive that fill it.
    warn(`${this.name}: ${fault.message}`)
  }

  /** Sees to it that nothing of these jobs stays in the queue. */
  async #end(jobs: readonly FollowedJob[]): Promise<void> {
    const alive = jobs.filter(({ hasEnded }) => !hasEnded)
    if (alive.length > 0) await this.#cancel(alive)
    const { scheduler, queue } = this.#surroundings
    const ended = jobs.filter(({ hasEnded, isListed }) => hasEnded && isListed)
    if (scheduler.keepsHeldJobs !== true || ended.length === 0) return
    // The scheduler may not know yet that they have ended, and may still hold them.
    const { signal } = this.#life
    const listed = await listedJobs(queue, signal)
    const kept = ended.flatMap((job) => listed.nativeIdsOf(job, openKinds))
    if (kept.length > 0) await asked(queue.cancel(kept, signal))
  }

  async #remove(jobs: readonly FollowedJob[]): Promise<void> {
    await this.#end(jobs)
    await this.#surroundings.files.remove(
      jobs.map(({ place }) => place),
      this.#life.signal,
    )
    for (const { place } of jobs) this.#jobs.delete(place.id)
  }
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
