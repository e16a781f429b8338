import {
  EnvironmentError,
  type JobHandle,
  type JobId,
  type Observation,
} from '../../../src/environment/environment.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { clockOf } from '../cluster/clock.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { eachBounded } from '../cluster/each-bounded.ts'
import { instanceSelector, jobIdOf, jobName, labelKeys, labelValue } from './names.ts'
import { isOver, observationOf } from './observe.ts'
import type { KubernetesOptions } from '../options.ts'
import { OwnedObjects } from './owned-objects.ts'
import type { OwnedPod } from '../files/stager.ts'
import { watchObjects, type Watched } from '../cluster/watch.ts'
import type { WireEvent, WireJob, WirePod } from '../cluster/wire.ts'

export interface ObservedObjectsParts {
  readonly cluster: Pick<Cluster, 'events'> & {
    readonly jobs: Pick<Cluster['jobs'], 'list' | 'watch' | 'find'>
    readonly pods: Pick<Cluster['pods'], 'list' | 'watch'>
  }
  readonly instance: string
  readonly options: KubernetesOptions
  /** UID of the one pod that may run the job; undefined where none has got its files yet. */
  readonly servedPod: (id: JobId) => string | undefined
  readonly now: () => number
  readonly warn: (message: string) => void
}

type EventsByJob = ReadonlyMap<string, readonly WireEvent[]>

/** A Job has no pod for a moment after it was made; then somebody must say why. */
const podlessMs = 5000
/** What somebody says is asked for so often, since there may be many events. */
const eventsFreshMs = 10_000
/** Calls under way at one time. */
const mostCalls = 8

/** A copy of an environment's Jobs and pods, kept by one watch for each kind, and what it says of jobs. */
export class ObservedObjects {
  readonly #parts: ObservedObjectsParts
  readonly #signal: AbortSignal
  readonly #seen: (pods: readonly OwnedPod[]) => void
  readonly #changed: (ids: readonly JobId[]) => void
  readonly #jobs: OwnedObjects<WireJob>
  readonly #pods: OwnedObjects<WirePod>
  #watchedJobs: Watched<WireJob> | undefined
  #watchedPods: Watched<WirePod> | undefined
  #events: { readonly atMs: number; readonly byJob: EventsByJob } | undefined
  #hasToldOfEvents = false

  /** `seen` gets pods that are new, have changed or are gone, `changed` the ids of their jobs. */
  constructor(
    parts: ObservedObjectsParts,
    seen: (pods: readonly OwnedPod[]) => void,
    changed: (ids: readonly JobId[]) => void,
    signal: AbortSignal,
  ) {
    this.#parts = parts
    this.#seen = seen
    this.#changed = changed
    this.#signal = signal
    this.#jobs = new OwnedObjects(parts.instance)
    this.#pods = new OwnedObjects(parts.instance)
  }

  /** Begins to watch, once. Throws ApiError where the cluster cannot be asked now. */
  async begin(signal: AbortSignal): Promise<void> {
    const { cluster, instance, warn, now } = this.#parts
    const selector = { labelSelector: instanceSelector(instance) }
    const common = { selector, warn, clock: clockOf(now) }
    this.#watchedJobs ??= watchObjects(
      { ...common, collection: cluster.jobs, changed: (jobs) => this.#takeJobs(jobs) },
      this.#signal,
    )
    this.#watchedPods ??= watchObjects(
      { ...common, collection: cluster.pods, changed: (pods) => this.#takePods(pods) },
      this.#signal,
    )
    for (const watched of [this.#watchedJobs, this.#watchedPods]) await this.#untilListed(watched, signal)
  }

  /** Throws ApiError while the copy may be old and the cluster cannot be asked. */
  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    await this.begin(signal)
    for (const watched of [this.#watchedJobs, this.#watchedPods]) {
      const { error } = watched?.health() ?? {}
      if (error !== undefined) throw error
    }
    const jobs = new Map<JobId, WireJob>()
    const unseen: JobId[] = []
    for (const { id } of handles) {
      const [job] = this.#jobs.of(id)
      if (job === undefined) unseen.push(id)
      else jobs.set(id, job)
    }
    // The copy may be a moment behind, and lost is for ever.
    await eachBounded(unseen, mostCalls, async (id) => {
      const job = await this.#find(id, signal)
      if (job !== undefined) jobs.set(id, job)
    })
    const overtaken = await this.#podsOfOvertaken(jobs, signal)
    const events = await this.#eventsOfPodless(jobs, signal)
    return new Map(
      handles.map(({ id }) => {
        const pods = overtaken.get(id) ?? this.#pods.of(id)
        return [id, this.#observationOf(id, jobs.get(id), pods, events.get(jobName(id)) ?? [])]
      }),
    )
  }

  /** The pod that may run the job, else the newest. */
  async podOf(id: JobId, signal: AbortSignal): Promise<WirePod | undefined> {
    await this.begin(signal)
    const known = this.podsOf(id)
    const pods = known.length > 0 ? known : await this.#listPods(id, signal)
    const served = this.#parts.servedPod(id)
    return (
      pods.find(({ metadata }) => metadata?.uid === served) ??
      pods.toSorted((one, other) => madeAt(other) - madeAt(one))[0]
    )
  }

  /** Those that have been seen. */
  podsOf(id: JobId): readonly WirePod[] {
    return this.#pods.of(id)
  }

  async ended(): Promise<void> {
    await this.#watchedJobs?.ended
    await this.#watchedPods?.ended
  }

  /** The two watches do not keep step: a Job may be told to be over before its pod was told at all. */
  async #podsOfOvertaken(
    jobs: ReadonlyMap<JobId, WireJob>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, readonly WirePod[]>> {
    const found = new Map<JobId, readonly WirePod[]>()
    const overtaken = [...jobs].filter(([id, job]) => isOver(job) && this.#pods.of(id).length === 0)
    await eachBounded(overtaken, mostCalls, async ([id]) => {
      found.set(id, await this.#listPods(id, signal))
    })
    return found
  }

  #observationOf(
    id: JobId,
    job: WireJob | undefined,
    seenPods: readonly WirePod[],
    events: readonly WireEvent[],
  ): Observation {
    const { options, servedPod, now } = this.#parts
    const { pendingLimit, stopGraceMs } = options
    // Pods of a Job that is gone are on their way too.
    const pods = job === undefined ? [] : seenPods
    const startedPod = servedPod(id)
    const limits = { pendingLimitMs: pendingLimit, stopGraceMs }
    const observation = observationOf({ job, pods, events, startedPod }, limits, now())
    if (startedPod === undefined || pods.length > 0 || observation.kind !== 'queued') return observation
    return {
      kind: 'stopped',
      cause: 'preempted',
      message: 'Its pod is gone: it was deleted from outside, or with its node.',
    }
  }

  async #listPods(id: JobId, signal: AbortSignal): Promise<readonly WirePod[]> {
    const { cluster, instance } = this.#parts
    const labelSelector = `${instanceSelector(instance)},${labelKeys.attempt}=${labelValue(id)}`
    return (await cluster.pods.list({ labelSelector }, signal)).items
  }

  async #find(id: JobId, signal: AbortSignal): Promise<WireJob | undefined> {
    const job = await this.#parts.cluster.jobs.find(jobName(id), signal)
    return job !== undefined && jobIdOf(job, this.#parts.instance) === id ? job : undefined
  }

  /** Why no pod can be made: a quota, or what the namespace does not let in. */
  async #eventsOfPodless(jobs: ReadonlyMap<JobId, WireJob>, signal: AbortSignal): Promise<EventsByJob> {
    const now = this.#parts.now()
    const isPodless = ([id, job]: [JobId, WireJob]): boolean =>
      now - madeAt(job) > podlessMs && this.#pods.of(id).length === 0
    if (![...jobs].some(isPodless)) return new Map()
    if (this.#events === undefined || now - this.#events.atMs >= eventsFreshMs)
      this.#events = { atMs: now, byJob: await this.#askForEvents(signal) }
    return this.#events.byJob
  }

  /** Reasons are good to have, but no more: none where they may not be seen. */
  async #askForEvents(signal: AbortSignal): Promise<EventsByJob> {
    const { cluster, warn } = this.#parts
    const fieldSelector = 'involvedObject.kind=Job,reason=FailedCreate'
    try {
      const { items } = await cluster.events.list({ fieldSelector }, signal)
      return Map.groupBy(items, ({ involvedObject }) => involvedObject.name ?? '')
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 403) throw error
      if (!this.#hasToldOfEvents) warn(`Nobody can tell why jobs have no pods yet: ${error.message}`)
      this.#hasToldOfEvents = true
      return new Map()
    }
  }

  async #untilListed(watched: Watched<unknown>, signal: AbortSignal): Promise<void> {
    const poll = 50
    while (!watched.health().isListed) {
      signal.throwIfAborted()
      this.#signal.throwIfAborted()
      const { error } = watched.health()
      if (error instanceof ApiError) throw error
      if (error !== undefined) throw new EnvironmentError(error.message, { cause: error })
      await Promise.race([watched.listed, clockOf(this.#parts.now).wait(poll, signal)])
    }
  }

  #takePods(changed: readonly WirePod[]): void {
    const pods = this.#pods.take(changed, this.#watchedPods?.objects ?? new Map())
    this.#seen(pods.map(({ id, object, isGone }) => ({ id, pod: object, isGone })))
    this.#changed([...new Set(pods.map(({ id }) => id))])
  }

  #takeJobs(changed: readonly WireJob[]): void {
    const jobs = this.#jobs.take(changed, this.#watchedJobs?.objects ?? new Map())
    this.#changed([...new Set(jobs.map(({ id }) => id))])
  }
}

function madeAt({ metadata }: WireJob | WirePod): number {
  return Date.parse(metadata?.creationTimestamp ?? '')
}
