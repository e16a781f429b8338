import { EnvironmentError, type JobHandle, type JobId, type Observation } from '../../src/environment/environment.ts'
import { ApiError } from './api-errors.ts'
import { clockOf } from './clock.ts'
import type { Cluster } from './cluster.ts'
import { instanceSelector, jobIdOf, jobName, labelKeys, labelValue } from './names.ts'
import { observationOf } from './observe.ts'
import type { KubernetesOptions } from './options.ts'
import { watchObjects, type Watched } from './watch.ts'
import type { WireEvent, WireJob, WirePod } from './wire.ts'

export interface ObservedObjectsParts {
  readonly cluster: Cluster
  readonly instance: string
  readonly options: KubernetesOptions
  readonly now: () => number
  readonly warn: (message: string) => void
}

export interface OwnedPod {
  readonly id: JobId
  readonly pod: WirePod
}

/** A Job has no pod for a moment after it was made; then somebody must say why. */
const podlessMs = 5000

/** A copy of an environment's Jobs and pods, kept by one watch for each kind, and what it says of jobs. */
export class ObservedObjects {
  readonly #parts: ObservedObjectsParts
  readonly #signal: AbortSignal
  readonly #seen: (pods: readonly OwnedPod[]) => void
  readonly #changed: (ids: readonly JobId[]) => void
  #jobs: Watched<WireJob> | undefined
  #pods: Watched<WirePod> | undefined
  /** Made by us, and perhaps not in the copy yet. */
  readonly #made = new Set<JobId>()

  /** `seen` gets pods that are new or have changed, `changed` the ids of their jobs. */
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
  }

  /** Begins to watch, once. Throws ApiError where the cluster cannot be asked now. */
  async begin(signal: AbortSignal): Promise<void> {
    const { cluster, instance, warn, now } = this.#parts
    const selector = { labelSelector: instanceSelector(instance) }
    const common = { selector, warn, clock: clockOf(now) }
    this.#jobs ??= watchObjects(
      { ...common, collection: cluster.jobs, changed: (jobs) => this.#tell(jobs) },
      this.#signal,
    )
    this.#pods ??= watchObjects(
      { ...common, collection: cluster.pods, changed: (pods) => this.#take(pods) },
      this.#signal,
    )
    for (const watched of [this.#jobs, this.#pods]) await this.#untilListed(watched, signal)
  }

  made(id: JobId): void {
    this.#made.add(id)
  }

  forget(id: JobId): void {
    this.#made.delete(id)
  }

  /** Throws ApiError while the copy may be old and the cluster cannot be asked. */
  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    await this.begin(signal)
    for (const watched of [this.#jobs, this.#pods]) {
      const { error } = watched?.health() ?? {}
      if (error !== undefined) throw error
    }
    const jobs = new Map(this.#owned(this.#jobs).map(({ id, object }) => [id, object]))
    const pods = Map.groupBy(this.#owned(this.#pods), ({ id }) => id)
    const events = await this.#eventsOfPodless(handles, jobs, pods, signal)
    const { pendingLimit, stopGraceMs } = this.#parts.options
    const limits = { pendingLimitMs: pendingLimit, stopGraceMs }
    const observations = new Map<JobId, Observation>()
    for (const { id } of handles) {
      const ownPods = (pods.get(id) ?? []).map(({ object }) => object)
      let job = jobs.get(id)
      // The copy may be a moment behind, and lost is for ever.
      if (job === undefined) job = await this.#find(id, signal)
      else this.#made.delete(id)
      // Pods of a Job that is gone are on their way too.
      const facts = { job, pods: job === undefined ? [] : ownPods, events: events.get(jobName(id)) ?? [] }
      observations.set(id, observationOf(facts, limits, this.#parts.now()))
    }
    return observations
  }

  /** The newest pod of a job. */
  async podOf(id: JobId, signal: AbortSignal): Promise<WirePod | undefined> {
    const pods = await this.podsOf(id, signal)
    return pods.toSorted((one, other) => madeAt(other) - madeAt(one))[0]
  }

  async podsOf(id: JobId, signal: AbortSignal): Promise<readonly WirePod[]> {
    await this.begin(signal)
    const known = this.#owned(this.#pods).flatMap((each) => (each.id === id ? [each.object] : []))
    if (known.length > 0) return known
    const { cluster, instance } = this.#parts
    const { items } = await cluster.pods.list({ labelSelector: `${instanceSelector(instance)},${labelKeys.attempt}=${labelValue(id)}` }, signal)
    return items
  }

  async ended(): Promise<void> {
    await this.#jobs?.ended
    await this.#pods?.ended
  }

  async #find(id: JobId, signal: AbortSignal): Promise<WireJob | undefined> {
    const job = await this.#parts.cluster.jobs.find(jobName(id), signal)
    return job !== undefined && jobIdOf(job, this.#parts.instance) === id ? job : undefined
  }

  /** Why no pod can be made: a quota, or what the namespace does not let in. */
  async #eventsOfPodless(
    handles: readonly JobHandle[],
    jobs: ReadonlyMap<JobId, WireJob>,
    pods: ReadonlyMap<JobId, unknown>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, WireEvent[]>> {
    const isPodless = ({ id }: JobHandle): boolean => {
      const job = jobs.get(id)
      return job !== undefined && !pods.has(id) && this.#parts.now() - madeAt(job) > podlessMs
    }
    if (!handles.some(isPodless)) return new Map()
    const fieldSelector = 'involvedObject.kind=Job,reason=FailedCreate'
    const { items } = await this.#parts.cluster.events.list({ fieldSelector }, signal)
    return Map.groupBy(items, ({ involvedObject }) => involvedObject.name ?? '')
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

  #take(pods: readonly WirePod[]): void {
    const { instance } = this.#parts
    const owned = pods.flatMap((pod) => {
      const id = jobIdOf(pod, instance)
      return id === undefined ? [] : [{ id, pod }]
    })
    this.#seen(owned)
    this.#changed([...new Set(owned.map(({ id }) => id))])
  }

  #tell(jobs: readonly WireJob[]): void {
    this.#changed([...new Set(jobs.flatMap((job) => jobIdOf(job, this.#parts.instance) ?? []))])
  }

  #owned<T extends WireJob | WirePod>(
    watched: Watched<T> | undefined,
  ): readonly { readonly id: JobId; readonly object: T }[] {
    return [...(watched?.objects.values() ?? [])].flatMap((object) => {
      const id = jobIdOf(object, this.#parts.instance)
      return id === undefined ? [] : [{ id, object }]
    })
  }
}

function madeAt({ metadata }: WireJob | WirePod): number {
  return Date.parse(metadata?.creationTimestamp ?? '')
}
